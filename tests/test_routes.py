from tests.accounts.test_access import routes
from tests.routes import ROUTES, WITHOUT_A_PAGE


def test_names_lead_to_pages_that_exist():
    assert set(ROUTES.values()) <= set(routes())
    assert not ROUTES.keys() & WITHOUT_A_PAGE.keys()
    assert all(WITHOUT_A_PAGE.values())
