"""What operators' commands work with: services over all users' rows, as the tables' owner.

Each is open as long as its `with` block. They raise SettingsError when DATABASE_OWNER_URL is not
set.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from .cache.changes import ChangeHub
from .database import Database
from .errors import SettingsError
from .services.accounts import AccountService
from .services.cache import CacheService
from .services.copies import Copies, FastCopies
from .services.history import HistoryService
from .services.stats import LedgerService
from .services.trash import PurgeService
from .services.verification import VerificationService
from .settings import Settings


class Operations:
    def __init__(
        self, settings: Settings, history: HistoryService, *, copies: Copies, changes: ChangeHub
    ) -> None:
        """`copies` and `changes` are told what changes, see Database."""
        self._copies = copies
        self._settings = settings
        self._history = history
        self._changes = changes

    def owner_url(self) -> str:
        """Where the tables' owner connects."""
        if self._settings.database_owner_url is None:
            raise SettingsError({"DATABASE_OWNER_URL": ["is missing: it names the tables' owner."]})
        return self._settings.database_owner_url

    @contextmanager
    def accounts(self) -> Iterator[AccountService]:
        """Users' accounts."""
        with self._database() as database:
            unicode = self._settings.auth.allow_unicode_local
            yield AccountService(database, allow_unicode_local=unicode)

    @contextmanager
    def ledger(self) -> Iterator[LedgerService]:
        """What was asked, in numbers."""
        with self._database() as database:
            yield LedgerService(database)

    @contextmanager
    def verification(self) -> Iterator[VerificationService]:
        """Whether conversations hold together."""
        with self._database() as database:
            unicode = self._settings.auth.allow_unicode_local
            yield VerificationService(database, allow_unicode_local=unicode)

    @contextmanager
    def purge(self) -> Iterator[PurgeService]:
        """What has lain in the trash for long enough."""
        with self._database() as database:
            yield PurgeService(database, self._history, days=self._settings.trash_days)

    @contextmanager
    def copies(self) -> Iterator[CacheService]:
        """What Redis holds of conversations. SettingsError: nothing that is not always checked."""
        if not isinstance(self._copies, FastCopies):
            raise SettingsError({"CACHE_MODE": ["is not fast, or REDIS_URL no single Redis."]})
        with self._database() as database:
            yield CacheService(database, self._copies)

    @contextmanager
    def _database(self) -> Iterator[Database]:
        database = Database.of_owner(self.owner_url(), self._settings)
        database.guard_with(self._copies)
        database.when_changed(self._changes.announce)
        try:
            yield database
        finally:
            self._changes.flush()  # the process may end with this
            database.close()
