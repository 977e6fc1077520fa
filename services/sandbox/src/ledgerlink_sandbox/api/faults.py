"""The control route of the faults: order some, see what waits, call all off."""

from fastapi import APIRouter, Response

from ledgerlink_kit import problem
from ledgerlink_sandbox.api.access import KEY_HOLDERS, Provider
from ledgerlink_sandbox.api.schemas import FaultBody, PlannedFault, PlannedFaults
from ledgerlink_sandbox.domain.faults import Fault
from ledgerlink_sandbox.runtime import Runtime

router = APIRouter(tags=["faults"], dependencies=KEY_HOLDERS)


@router.post("/faults", status_code=201, responses=problem.responses(400, 401, 413, 415, 422))
async def plan_faults(provider: Provider, body: FaultBody) -> PlannedFaults:
    """Let the next requests of an operation go wrong; each key goes wrong at most once."""
    provider.faults.add(body.operation, Fault(body.kind, body.delay_s), body.times)
    return _waiting(provider)


@router.get("/faults", responses=problem.responses(401))
async def list_faults(provider: Provider) -> PlannedFaults:
    """List the faults that wait."""
    return _waiting(provider)


@router.delete("/faults", status_code=204, responses=problem.responses(401))
async def clear_faults(provider: Provider) -> Response:
    """Call off all faults that wait."""
    provider.faults.clear()
    return Response(status_code=204)


def _waiting(provider: Runtime) -> PlannedFaults:
    waiting = provider.faults.waiting()
    return PlannedFaults(
        faults=[
            PlannedFault(operation=operation, kind=fault.kind, delay_s=fault.delay_s)
            for operation, faults in waiting.items()
            for fault in faults
        ]
    )
