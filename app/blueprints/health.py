"""/livez, /readyz, /version: for those who run the service. No identity needed, none shown."""

from importlib.metadata import PackageNotFoundError, version

from flask import Response

from ..schemas.health import Life, Readiness, Version
from .blueprint import Blueprint, described, json_response
from .current import services

blueprint = Blueprint("health", url_prefix="", description="Health of this process", is_public=True)


@blueprint.get("/livez")
@blueprint.response(200, Life)
def live() -> dict[str, str]:
    """Whether the process runs"""
    return {"status": "ok"}


@blueprint.get("/readyz")
@blueprint.response(200, Readiness)
@blueprint.alt_response(
    503,
    schema=Readiness,
    description="PostgreSQL is away, or not migrated",
    headers=described(**{"Retry-After": "Seconds until asking again makes sense."}),
)
def ready() -> Response:
    """Whether the process can serve: PostgreSQL and its migrations; Redis may be away"""
    health = services.health.check()
    return json_response(
        {
            "status": "ok" if health.is_ready else "unavailable",
            "database": health.database,
            "migrations": health.migrations,
            "redis": health.redis,
        },
        status=200 if health.is_ready else 503,
        headers={} if health.is_ready else {"Retry-After": "2"},
    )


@blueprint.get("/version")
@blueprint.response(200, Version)
def read_version() -> dict[str, str]:
    """The version that runs"""
    return {"version": running_version()}


def running_version() -> str:
    """The installed package's version, or `development` in a checkout."""
    try:
        return version("parley")
    except PackageNotFoundError:
        return "development"
