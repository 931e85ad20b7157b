"""What is said, to all alike."""

TEXT = "What should I see in Huế when it rains for a week, and what should I eat there? " * 3
ROLES = ("user", "assistant")
READ, BULK = 20, 1_000


def texts(count: int) -> list[tuple[str, str]]:
    """So many messages: role and content."""
    return [(ROLES[n % 2], f"{n}. {TEXT}") for n in range(count)]
