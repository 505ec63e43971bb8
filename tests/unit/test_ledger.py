"""The ledger's rules: whatever happens, the sum of all accounts is zero."""

from hypothesis import given
from hypothesis import strategies as st

from apps.billing.ledger import Account, Entry, balances, issued, received, refunded, reversal, written_off

amounts = st.integers(min_value=0, max_value=10**10)
postings = st.one_of(
    st.builds(lambda visits, fees: issued(visits=visits, fees=fees), amounts, amounts),
    st.builds(received, amounts),
    st.builds(refunded, amounts),
    st.builds(written_off, amounts),
)


@given(st.lists(st.tuples(postings, st.booleans()), max_size=30))
def test_any_course_of_business_adds_up_to_zero(course: list[tuple[tuple[Entry, ...], bool]]) -> None:
    entries = [entry for posting, taken_back in course for entry in (*posting, *(reversal(posting) if taken_back else ()))]

    assert sum(balances(entries).values()) == 0
    assert all(amount for _, amount in entries)


@given(postings)
def test_a_reversal_leaves_nothing(posting: tuple[Entry, ...]) -> None:
    assert set(balances([*posting, *reversal(posting)]).values()) == {0}


def test_an_invoice_that_is_paid_and_given_back_leaves_income_and_its_loss() -> None:
    found = balances([*issued(visits=10_000, fees=2_500), *received(12_500), *refunded(12_500)])

    assert found == {
        Account.RECEIVABLE: 0,
        Account.REVENUE: -10_000,
        Account.FEES: -2_500,
        Account.CASH: 0,
        Account.REFUNDS: 12_500,
        Account.WRITE_OFF: 0,
    }


def test_nothing_is_booked_over_nothing() -> None:
    assert issued(visits=0, fees=0) == ()
