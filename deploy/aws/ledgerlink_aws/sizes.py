"""How big an environment is: data, one value for `dev` and one for `prod`. Change a size here, and nowhere else."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class TaskSize:
    """One kind of task: CPU in units of 1/1024 core, memory in MiB, how many run at least and at most."""

    cpu: int = 256
    memory_mib: int = 1024
    count_min: int = 1
    count_max: int = 2


@dataclass(frozen=True, slots=True)
class Size:
    """One environment. Storage in GiB; times in days."""

    name: str
    vpc_cidr: str
    nat_gateways: int
    server: TaskSize
    worker: TaskSize
    wallet: TaskSize
    database_class: str
    wallet_database_class: str
    storage_gib: int
    storage_gib_max: int
    multi_az: bool
    backup_days: int
    protected: bool
    redis_class: str
    redis_replicas: int
    log_days: int
    sandbox: bool
    github_environment: str


DEV: Final = Size(
    name="dev",
    vpc_cidr="10.20.0.0/16",
    nat_gateways=1,
    server=TaskSize(),
    worker=TaskSize(count_max=1),
    wallet=TaskSize(),
    database_class="t4g.micro",
    wallet_database_class="t4g.micro",
    storage_gib=20,
    storage_gib_max=50,
    multi_az=False,
    backup_days=3,
    protected=False,
    redis_class="cache.t4g.micro",
    redis_replicas=0,
    log_days=14,
    sandbox=True,
    github_environment="dev",
)
PROD: Final = Size(
    name="prod",
    vpc_cidr="10.30.0.0/16",
    nat_gateways=2,
    server=TaskSize(cpu=512, memory_mib=1024, count_min=2, count_max=8),
    worker=TaskSize(cpu=256, memory_mib=1024, count_min=2, count_max=2),
    wallet=TaskSize(cpu=1024, memory_mib=2048, count_min=2, count_max=6),
    database_class="t4g.medium",
    wallet_database_class="m7g.large",
    storage_gib=50,
    storage_gib_max=500,
    multi_az=True,
    backup_days=14,
    protected=True,
    redis_class="cache.t4g.small",
    redis_replicas=1,
    log_days=365,
    sandbox=False,
    github_environment="production",
)
SIZES: Final = (DEV, PROD)
