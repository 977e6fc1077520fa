"""What can go wrong with the machine, said in one sentence with what to do about it.

Everything in this package that fails for a reason outside our code raises `Trouble`; the command line prints its
sentence and its advice and nothing else. A traceback from `ledgerlink` is therefore always a defect of ours.
"""

from __future__ import annotations


class Trouble(Exception):
    """Something about the machine that only its owner can settle.

    `sentence` says what is wrong, `advice` what to do; both are complete sentences without secrets in them.
    """

    def __init__(self, sentence: str, advice: str) -> None:
        """Keep both sentences, and read as both when printed."""
        super().__init__(f"{sentence} {advice}")
        self.sentence = sentence
        self.advice = advice
