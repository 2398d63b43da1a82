"""The store: tables, migrations, events with cursors, observations. Sole importer of sqlmodel and SQLAlchemy.

Events are validated by their types; a row only keeps them, so rows never leave this package: callers get events,
plain columns or small records. Times are integers, microseconds since 1970 UTC: exact, sortable, and read
straight into arrays. Bulk writes send tuples through SQLAlchemy Core; no object per row stands in between.
"""

from collector.store.columns import from_micros, to_micros
from collector.store.database import SCHEMA_REVISION, Database, Guard, Place, Transaction
from collector.store.deletion import Deletion, Traces
from collector.store.deliveries import DeliveryLog, DeliveryRecord, DeliveryState
from collector.store.derivations import DerivationStore, PieceRecord, Replacement, Restatement
from collector.store.events import EventStore, Forgotten, Quarantined, SourceRun
from collector.store.inbox import Arrival, Drained, InboxStore, packed
from collector.store.observations import Judge, ObservationRow, ObservationStore, Plain, Series, Tally
from collector.store.retention import RetentionStore
from collector.store.transfer import TableDigest, copy_store, digests

__all__ = [
    "SCHEMA_REVISION",
    "Arrival",
    "Database",
    "Deletion",
    "DeliveryLog",
    "DeliveryRecord",
    "DeliveryState",
    "DerivationStore",
    "Drained",
    "EventStore",
    "Forgotten",
    "Guard",
    "InboxStore",
    "Judge",
    "ObservationRow",
    "ObservationStore",
    "PieceRecord",
    "Place",
    "Plain",
    "Quarantined",
    "Replacement",
    "Restatement",
    "RetentionStore",
    "Series",
    "SourceRun",
    "TableDigest",
    "Tally",
    "Traces",
    "Transaction",
    "copy_store",
    "digests",
    "from_micros",
    "packed",
    "to_micros",
]
