"""/stats: how much the user asked, and how long the answers took."""

from ..schemas.stats import StatsAnswer, StatsQuery
from ..services.stats import OwnStats, Period
from .blueprint import Blueprint
from .current import owner, services

blueprint = Blueprint("stats", url_prefix="/stats", description="Numbers of the user's own")


@blueprint.get("")
@blueprint.arguments(StatsQuery, location="query")
@blueprint.response(200, StatsAnswer)
def search(query: dict[str, str]) -> OwnStats:
    """Own questions of a period, by day, mode and model, and what is stored now"""
    return services.stats.report(owner(), Period.between(**query))
