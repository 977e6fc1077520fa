"""A provider on a database of its own, with a clock to turn and a listener that writes down what it hears."""

import pytest
import pytest_asyncio

from ledgerlink_kit.testing import ManualClock
from ledgerlink_kit.testing.plugin import MakeDatabase
from ledgerlink_sandbox.connectors.recording import RecordingListener
from ledgerlink_sandbox.runtime import Runtime, Settings

API_KEY = "a-key-for-tests-only"
WEBHOOK_SECRET = "whsec_c2FuZGJveC10ZXN0LXNlY3JldC0zMi1ieXRlcyE="


@pytest.fixture
def listener() -> RecordingListener:
    return RecordingListener()


@pytest_asyncio.fixture
async def provider(make_database: MakeDatabase, clock: ManualClock, listener: RecordingListener) -> Runtime:
    db = await make_database("ledgerlink_sandbox")
    settings = Settings.model_validate(
        {
            "environment": "test",
            "database_url": db.url,
            "api_key": API_KEY,
            "webhook_secret": WEBHOOK_SECRET,
            "webhook_url": "http://127.0.0.1:9/never",
        }
    )
    return Runtime(settings, db, clock, listener)
