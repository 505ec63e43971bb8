"""The capacity page is what follows from the committed results, and its arithmetic adds up."""

from loadtests import capacity


def test_the_committed_page_is_what_the_committed_results_come_to() -> None:
    assert (capacity.RESULTS / "capacity.md").read_text() == "\n".join(capacity.as_markdown(capacity.measured()))


def test_a_wall_is_where_one_of_its_kind_is_full() -> None:
    costs = capacity.measured()

    (tier, users), *_ = capacity.wall(costs)

    (need,) = [need for need in capacity.needs(users, costs) if need.tier == tier]
    (more,) = [need for need in capacity.needs(users + users // 100, costs) if need.tier == tier]
    assert need.cores <= need.limit * capacity.FULL < more.cores
