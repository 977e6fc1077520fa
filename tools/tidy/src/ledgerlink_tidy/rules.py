"""The list of house rules. ``ledgerlink-tidy --rules`` prints it."""

from ledgerlink_tidy import money, proof, purity, size, text, wiring
from ledgerlink_tidy.source import Rule

RULES: tuple[Rule, ...] = (
    Rule("long-function", "what fits on a screen is understood", size.long_function),
    Rule("long-file", "a file is one noun", size.long_file),
    Rule("vague-name", "utils, common, helpers, base and manager invite anything", size.vague_name),
    Rule("float-money", "binary fractions lose pennies", money.float_money),
    Rule("impure-domain", "a pure function is proved by its rows", purity.impure_domain),
    Rule("stray-depends", "dependencies are arguments", wiring.stray_depends),
    Rule("resource-at-import", "importing a module must not open a socket", wiring.resource_at_import),
    Rule("stray-http", "deadlines, traces and the transaction guard live in one client", wiring.stray_http),
    Rule("swallowed-error", "an error that nobody sees becomes a wrong balance", wiring.swallowed_error),
    Rule("silent-test-file", "a reader learns from tests what is proved", proof.silent_test_file),
    Rule("terse-test-name", "a failing test's name should be the bug report", proof.terse_test_name),
    Rule("test-without-assert", "a test that cannot fail proves nothing", proof.test_without_assert),
    Rule("patched-code", "a patched function is not the one that ships", proof.patched_code),
    Rule("package-host", "the reader chooses where packages come from", text.package_host, any_text=True),
    Rule("machine-path", "a repository is at home on every machine", text.machine_path, any_text=True),
    Rule("tracked-secret", "what is pushed is public", text.tracked_secret, any_text=True),
)
