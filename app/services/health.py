"""Whether this process can serve: PostgreSQL must answer and be migrated; Redis may be away."""

from dataclasses import dataclass

from ..cache.client import RedisClient
from ..database import Database
from ..errors import UnavailableError
from ..repositories.migrations import applied_migration


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`database`: ok | away, `migrations`: ok | behind | unknown, `redis`: ok | away | off.

    `behind` is any migration but the one this code was written for.
    """

    database: str
    migrations: str
    redis: str

    @property
    def is_ready(self) -> bool:
        return self.database == "ok" and self.migrations == "ok"


class HealthService:
    def __init__(
        self, database: Database, redis: RedisClient | None, *, expected_migration: str | None
    ) -> None:
        self._database = database
        self._redis = redis
        self._expected = expected_migration

    def check(self) -> Health:
        database, migrations = self._check_database()
        return Health(database=database, migrations=migrations, redis=self._check_redis())

    def _check_database(self) -> tuple[str, str]:
        try:
            with self._database.operation() as session:
                applied = applied_migration(session)
        except UnavailableError:
            return "away", "unknown"
        return "ok", "ok" if applied == self._expected else "behind"

    def _check_redis(self) -> str:
        if self._redis is None:
            return "off"
        return "ok" if self._redis.ping() else "away"
