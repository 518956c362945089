"""Every rule is documented: its reason, its examples, its source; and the page says what is so."""

from __future__ import annotations

import pytest
from lint_specs import codes_of

from nin_spec.diagnostics import Code
from nin_spec.lint.fixes import FIXES
from nin_spec.lint.pages import HEAD, PAGES, explain, reference_page
from nin_spec.lint.rules import ABOUT_COMMENTS, RULES


def test_every_rule_has_its_page() -> None:
    """Each code of the nine hundreds is a rule or about comments, and has a page."""
    ours = [code for code in Code if code.code.startswith("NIN9")]
    assert list(PAGES) == ours == [*RULES, *ABOUT_COMMENTS]


@pytest.mark.parametrize("code", PAGES, ids=lambda c: c.code)
def test_the_bad_example_is_found(code: Code) -> None:
    """Once, and by this rule."""
    assert codes_of(HEAD + PAGES[code].bad).count(code.code) == 1


@pytest.mark.parametrize("code", PAGES, ids=lambda c: c.code)
def test_the_good_example_is_free_of_it(code: Code) -> None:
    """The better way does not fall into the same rule."""
    assert code.code not in codes_of(HEAD + PAGES[code].good)


@pytest.mark.parametrize("code", PAGES, ids=lambda c: c.code)
def test_a_page_says_whether_there_is_a_fix(code: Code) -> None:
    """Just those rules name one that have one."""
    assert bool(PAGES[code].fix) == (code in FIXES)


def test_every_page_is_in_the_reference() -> None:
    """A heading for each, with its reason and both examples."""
    text = reference_page()
    for code, page in PAGES.items():
        section = text.partition(f"\n### {code.code}: {code.meaning}\n")[2].partition("\n### ")[0]
        words = " ".join(section.split())
        assert page.reason in words
        assert page.source in words
        for example in (page.bad, page.good):
            assert all(f"    {line}\n" in section for line in example.splitlines())


def test_a_code_without_rule_is_explained() -> None:
    """An error has its meaning."""
    assert explain(Code.YAML_TAG) == "NIN103: a YAML tag; specs are plain data and never build objects\n"
