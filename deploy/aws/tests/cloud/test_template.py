"""Proves what the templates promise: locked-down tasks, private stores, secrets by ARN, narrow roles, alarms."""

import json
import re
from pathlib import Path
from typing import Any

import boto3
from aws_cdk import App, Aspects, Stack
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks

from ledgerlink_aws.rollout import REGISTERED_FIELDS
from ledgerlink_aws.signs import signs_of
from ledgerlink_aws.sizes import SIZES
from ledgerlink_aws.tasks import size_of
from ledgerlink_aws.wiring import STOP_S, composed, generated, processes, services

WITHOUT_RESOURCE = {
    "ecr:GetAuthorizationToken": "it logs in to the registry as a whole",
    "ecs:DescribeTaskDefinition": "AWS knows no resource for it",
    "ecs:RegisterTaskDefinition": "a definition runs only with the roles that may be passed",
    "xray:PutTelemetryRecords": "AWS knows no resource for it",
    "xray:PutTraceSegments": "AWS knows no resource for it",
}
# CloudFormation's own limits (user guide, "Understand CloudFormation quotas" and "dynamic references").
BYTES_MAX, RESOURCES_MAX, DYNAMIC_REFERENCES_MAX = 1_000_000, 500, 60


def statements(template: Any) -> list[dict[str, Any]]:
    return [
        each for policy in template.of("AWS::IAM::Policy").values() for each in policy["PolicyDocument"]["Statement"]
    ]


def containers(template: Any) -> list[dict[str, Any]]:
    return [each for task in template.of("AWS::ECS::TaskDefinition").values() for each in task["ContainerDefinitions"]]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_the_security_rules_find_nothing(findings: list[str]) -> None:
    assert findings == []


def test_the_security_rules_are_awake() -> None:
    app = App(analytics_reporting=False)
    s3.Bucket(Stack(app, "planted"), "open")
    Aspects.of(app).add(AwsSolutionsChecks(reports=False))
    messages = [str(each.entry.data) for each in app.synth().stacks[0].messages]
    assert any("AwsSolutions-S10" in each for each in messages)


def test_every_exception_from_the_rules_has_a_reason(template: Any) -> None:
    for resource in template.resources.values():
        for rule in resource.get("Metadata", {}).get("cdk_nag", {}).get("rules_to_suppress", []):
            assert len(rule["reason"].split()) >= 6, rule


def test_every_container_is_locked_down(template: Any) -> None:
    for container in containers(template):
        assert container["ReadonlyRootFilesystem"] is True
        assert container["User"].split(":")[0].isdigit()
        assert int(container["User"].split(":")[0]) > 0
        assert container.get("Privileged", False) is False
        assert container["LogConfiguration"]["LogDriver"] == "awslogs"


def test_what_runs_is_said_here_whatever_the_image_would_start(template: Any) -> None:
    ours = [each for each in containers(template) if each["Name"] == "app"]
    assert {each["StopTimeout"] for each in ours if "StopTimeout" in each} == {STOP_S}
    assert all(each["EntryPoint"] == ["python"] and each["Command"][0] == "-m" for each in ours)


def test_no_task_has_a_public_address_and_none_can_be_entered(template: Any) -> None:
    for service in template.of("AWS::ECS::Service").values():
        assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"
        assert service.get("EnableExecuteCommand", False) is False


def test_a_failed_deploy_goes_back_by_itself(template: Any) -> None:
    for service in template.of("AWS::ECS::Service").values():
        configuration = service["DeploymentConfiguration"]
        assert configuration["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
        assert configuration["MinimumHealthyPercent"] == 100


def test_every_process_runs_and_every_store_has_its_migration(templates: dict[str, Any]) -> None:
    for size in SIZES:
        chosen = services(sandbox=size.sandbox)
        template = templates[size.name]
        names = {each["ServiceName"] for each in template.of("AWS::ECS::Service").values()}
        assert names == {process.name for process in processes(chosen)}
        families = {each["Family"] for each in template.of("AWS::ECS::TaskDefinition").values()}
        stored = {f"ledgerlink-{size.name}-{each.name}-migrate" for each in chosen if each.has_database}
        assert families == {f"ledgerlink-{size.name}-{name}" for name in names} | stored


def test_secrets_are_given_by_reference_only(template: Any) -> None:
    given = 0
    for container in containers(template):
        for secret in container.get("Secrets", []):
            assert set(secret["ValueFrom"]) <= {"Ref", "Fn::Join"}
            given += 1
        for setting in container.get("Environment", []):
            assert not re.search("PASSWORD|SECRET|_KEY|TOKEN|DATABASE_URL|REDIS_URL|MAIL_URL", setting["Name"])
            assert "resolve:" not in json.dumps(setting["Value"])
            assert setting["Name"] == "AOT_CONFIG_CONTENT" or "{" not in str(setting["Value"]).replace("{'", "")
    assert given > 20


def test_no_secret_has_a_value_in_the_template(templates: dict[str, Any]) -> None:
    for size in SIZES:
        chosen = services(sandbox=size.sandbox)
        found = {each["Name"]: each for each in templates[size.name].of("AWS::SecretsManager::Secret").values()}
        names = {*generated(chosen), *composed(chosen), "mail-url"}
        assert found.keys() == {f"ledgerlink/{size.name}/{name}" for name in names}
        for name in generated(chosen):
            drawn = found[f"ledgerlink/{size.name}/{name}"]["GenerateSecretString"]
            assert drawn["ExcludePunctuation"] is True
            assert drawn["PasswordLength"] == generated(chosen)[name]
        for name in composed(chosen):
            assert "{{resolve:secretsmanager:" in json.dumps(found[f"ledgerlink/{size.name}/{name}"]["SecretString"])
    assert templates["dev"].content["Parameters"]["MailUrl"]["NoEcho"] is True


def test_an_execution_role_reads_the_secrets_of_its_own_task_and_no_other(template: Any) -> None:
    policies = template.of("AWS::IAM::Policy").values()
    for task in template.of("AWS::ECS::TaskDefinition").values():
        role = task["ExecutionRoleArn"]["Fn::GetAtt"][0]
        wanted = {
            json.dumps(secret["ValueFrom"], sort_keys=True)
            for container in task["ContainerDefinitions"]
            for secret in container.get("Secrets", [])
        }
        allowed = {
            json.dumps(resource, sort_keys=True)
            for policy in policies
            if {"Ref": role} in policy["Roles"]
            for statement in policy["PolicyDocument"]["Statement"]
            if "secretsmanager:GetSecretValue" in listed(statement["Action"])
            for resource in listed(statement["Resource"])
        }
        assert allowed == wanted


def test_a_policy_over_all_resources_has_a_reason(template: Any) -> None:
    for statement in statements(template):
        assert "*" not in listed(statement["Action"])
        assert not [action for action in listed(statement["Action"]) if action.endswith(":*")]
        if "*" in listed(statement["Resource"]):
            assert set(listed(statement["Action"])) <= WITHOUT_RESOURCE.keys()


def test_no_task_may_do_more_than_tell_traces_and_metrics(template: Any) -> None:
    roles = {each["TaskRoleArn"]["Fn::GetAtt"][0] for each in template.of("AWS::ECS::TaskDefinition").values()}
    for policy in template.of("AWS::IAM::Policy").values():
        if {each["Ref"] for each in policy["Roles"]} & roles:
            for statement in policy["PolicyDocument"]["Statement"]:
                assert {action.split(":")[0] for action in listed(statement["Action"])} <= {"xray", "logs"}


def test_databases_are_private_encrypted_backed_up_and_speak_tls(templates: dict[str, Any]) -> None:
    for size in SIZES:
        template = templates[size.name]
        databases = template.of("AWS::RDS::DBInstance").values()
        assert {each["DBName"] for each in databases} == {
            each.name for each in services(sandbox=size.sandbox) if each.has_database
        }
        for database in databases:
            assert database["PubliclyAccessible"] is False
            assert database["StorageEncrypted"] is True
            assert database["BackupRetentionPeriod"] == size.backup_days > 0
            assert database["DeletionProtection"] is size.protected
            assert database["MultiAZ"] is size.multi_az
            assert "resolve:secretsmanager" in json.dumps(database["MasterUserPassword"])
        for parameters in template.of("AWS::RDS::DBParameterGroup").values():
            assert parameters["Parameters"]["rds.force_ssl"] == "1"
    assert next(size for size in SIZES if size.name == "prod").protected


def test_a_database_of_prod_leaves_a_snapshot_when_its_stack_goes(templates: dict[str, Any]) -> None:
    for resource in templates["prod"].resources.values():
        if resource["Type"] == "AWS::RDS::DBInstance":
            assert resource["DeletionPolicy"] == "Snapshot"


def test_redis_wants_tls_and_a_password(template: Any) -> None:
    (redis,) = template.of("AWS::ElastiCache::ReplicationGroup").values()
    assert redis["TransitEncryptionEnabled"] is True
    assert redis["AtRestEncryptionEnabled"] is True
    assert "resolve:secretsmanager" in json.dumps(redis["AuthToken"])


def test_only_the_load_balancer_is_open_to_the_world(template: Any) -> None:
    opened = [
        (name, rule["FromPort"])
        for name, group in template.of("AWS::EC2::SecurityGroup").items()
        for rule in group.get("SecurityGroupIngress", [])
        if rule.get("CidrIp") == "0.0.0.0/0"
    ]
    assert {name.startswith("edge") for name, _ in opened} == {True}
    assert {port for _, port in opened} == {80, 443}
    assert all("CidrIp" not in rule for rule in template.of("AWS::EC2::SecurityGroupIngress").values())


def test_plain_http_only_leads_to_https(template: Any) -> None:
    by_port = {each["Port"]: each for each in template.of("AWS::ElasticLoadBalancingV2::Listener").values()}
    assert by_port[80]["DefaultActions"][0]["Type"] == "redirect"
    assert by_port[443]["Protocol"] == "HTTPS"
    assert "TLS13" in by_port[443]["SslPolicy"]


def test_every_process_and_store_is_watched(templates: dict[str, Any]) -> None:
    for size in SIZES:
        chosen = services(sandbox=size.sandbox)
        prefix = f"ledgerlink-{size.name}-"
        alarms = {
            each["AlarmName"].removeprefix(prefix): each
            for each in templates[size.name].of("AWS::CloudWatch::Alarm").values()
        }
        wanted = {f"{process.name}-{what}" for process in processes(chosen) for what in ("running", "cpu", "memory")}
        wanted |= {f"{process.name}-{sign.name}" for process in processes(chosen) for sign in signs_of(process)}
        wanted |= {f"{each.name}-database-storage" for each in chosen if each.has_database}
        wanted |= {"redis-1-memory", "gateway-5xx", "door-5xx", "gateway-unhealthy", "gateway-slow"}
        assert wanted <= alarms.keys()
        for alarm in alarms.values():
            assert alarm["AlarmActions"]
            assert alarm["AlarmDescription"].endswith(".")


def test_alarms_may_tell_their_topic_and_somebody_notices_when_a_worker_tells_nothing(template: Any) -> None:
    ((topic, _),) = template.of("AWS::SNS::Topic").items()
    (policy,) = template.of("AWS::SNS::TopicPolicy").values()
    allowed = [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"]
    assert [each["Principal"] for each in allowed] == [{"Service": "cloudwatch.amazonaws.com"}]
    assert [(each["Action"], each["Resource"]) for each in allowed] == [("sns:Publish", {"Ref": topic})]
    assert [each["Condition"] for each in allowed] == [
        {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    ]
    for alarm in template.of("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]
        if alarm["AlarmName"].endswith(("-lag", "-running", "-database-storage")):
            assert alarm["TreatMissingData"] == "breaching"


def test_the_collector_tells_what_alarms_watch_and_nothing_else(templates: dict[str, Any]) -> None:
    for size in SIZES:
        every = templates[size.name].of("AWS::ECS::TaskDefinition").values()
        tasks = {each["Family"].removeprefix(f"ledgerlink-{size.name}-"): each for each in every}
        for process in processes(services(sandbox=size.sandbox)):
            (collector,) = [each for each in tasks[process.name]["ContainerDefinitions"] if each["Name"] == "otel"]
            ((_, said),) = [each.values() for each in collector["Environment"]]
            parts = (
                [each if isinstance(each, str) else "LOG" for each in said["Fn::Join"][1]]
                if "Fn::Join" in said
                else said
            )
            configuration = json.loads("".join(parts))
            wanted = [sign.metric for sign in signs_of(process)]
            pipelines = configuration["service"]["pipelines"]
            assert set(pipelines) == ({"traces", "metrics"} if wanted else {"traces"})
            assert all(each["processors"][0] == "memory_limiter" for each in pipelines.values())
            if wanted:
                emf = configuration["exporters"]["awsemf"]
                (declared,) = emf["metric_declarations"]
                assert [each.strip("^$") for each in declared["metric_name_selectors"]] == wanted
                assert emf["retain_initial_value_of_delta_metric"] is True


def test_the_collector_can_neither_take_a_tasks_memory_nor_stay_away(template: Any) -> None:
    collectors = [each for each in containers(template) if each["Name"] == "otel"]
    assert collectors
    for each in collectors:
        assert each["Essential"] is False
        assert each["Memory"] <= 256
        assert each["RestartPolicy"]["Enabled"] is True


def test_the_access_log_is_written_by_this_accounts_balancer_alone(template: Any) -> None:
    (policy,) = template.of("AWS::S3::BucketPolicy").values()
    (written,) = [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"]
    assert written["Action"] == "s3:PutObject"
    assert written["Resource"]["Fn::Join"][1][1:] == ["/AWSLogs/", {"Ref": "AWS::AccountId"}, "/*"]


def test_the_page_of_costs_counts_what_the_templates_make(templates: dict[str, Any]) -> None:
    page = (Path(__file__).parents[4] / "docs" / "aws" / "costs.md").read_text()
    rows = {cells[1].strip(): cells for cells in (line.split("|") for line in page.splitlines()) if len(cells) == 8}
    for size, column in zip(SIZES, (3, 5), strict=True):
        for part, kind in (
            ("Secrets Manager", "AWS::SecretsManager::Secret"),
            ("CloudWatch alarms", "AWS::CloudWatch::Alarm"),
        ):
            assert int(rows[part][column]) == len(templates[size.name].of(kind)), f"{part} of {size.name}"
        tasks = [size_of(size, process) for process in processes(services(sandbox=size.sandbox))]
        hours = 730
        price = hours * sum(
            each.count_min * (each.cpu / 1024 * 0.0405 + each.memory_mib / 1024 * 0.00445) for each in tasks
        )
        assert int(rows["Fargate"][column + 1]) == round(price)
        parts = [float(cells[column + 1]) for name, cells in rows.items() if cells[column + 1].strip().isdigit()]
        told = int(re.sub(r"\D", "", rows["**Sum**"][column + 1]))
        assert abs(sum(parts) - told) <= 5


def test_every_log_is_forgotten_in_time(template: Any) -> None:
    assert all(each["RetentionInDays"] <= 365 for each in template.of("AWS::Logs::LogGroup").values())


def test_githubs_role_is_of_one_repository_and_environment_and_of_these_services(templates: dict[str, Any]) -> None:
    for size in SIZES:
        template = templates[size.name]
        ((name, role),) = [
            (name, each)
            for name, each in template.of("AWS::IAM::Role").items()
            if "deploy" in str(each.get("RoleName"))
        ]
        condition = json.dumps(role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"])
        assert "StringEquals" in condition
        assert f":environment:{size.github_environment}" in condition
        (policy,) = [each for each in template.of("AWS::IAM::Policy").values() if {"Ref": name} in each["Roles"]]
        by_sid = {each["Sid"]: each for each in policy["PolicyDocument"]["Statement"]}
        assert set(by_sid) == {"Login", "Push", "Revise", "Deploy", "Migrate", "Watch", "GiveTasksTheirRoles"}
        assert "ledgerlink/app" in json.dumps(by_sid["Push"]["Resource"])
        assert by_sid["GiveTasksTheirRoles"]["Condition"] == {
            "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
        }
        assert len(by_sid["Deploy"]["Resource"]) == len(template.of("AWS::ECS::Service"))


def test_no_release_is_removed_from_under_the_tasks_that_run_it(templates: dict[str, Any]) -> None:
    repositories = templates["registry"].of("AWS::ECR::Repository").values()
    rules = [
        rule for each in repositories for rule in json.loads(each["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    ]
    assert len(rules) == len(repositories) > 0
    assert {rule["selection"]["tagStatus"] for rule in rules} == {"untagged"}


def test_no_account_stands_in_a_template_and_cloudformation_can_take_it(template: Any) -> None:
    text = json.dumps(template.content)
    assert not re.search(r"\b\d{12}\b", text)
    assert "cdk-hnb659fds" not in text  # no asset: nothing but CloudFormation is needed to deploy
    assert len(json.dumps(template.content, indent=1)) < BYTES_MAX
    assert len(template.resources) < RESOURCES_MAX
    assert 10 < text.count("{{resolve:") <= DYNAMIC_REFERENCES_MAX


def test_a_rollout_carries_over_all_that_a_task_definition_has_and_nothing_that_aws_refuses(template: Any) -> None:
    ecs = boto3.client("ecs", region_name="eu-west-2", aws_access_key_id="none", aws_secret_access_key="none")
    accepted = ecs.meta.service_model.operation_model("RegisterTaskDefinition").input_shape.members
    assert set(REGISTERED_FIELDS) <= set(accepted)
    for task in template.of("AWS::ECS::TaskDefinition").values():
        mine = {name[0].lower() + name[1:] for name in task} - {"tags"}  # tasks get the service's tags
        assert mine <= set(REGISTERED_FIELDS)
