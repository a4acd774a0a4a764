"""Readers: what a document says, and where; and a clear reason where it cannot be read."""

import io
import random
import zipfile

import docx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from stretto.shared.memory.elements import Element
from stretto.shared.memory.errors import Unreadable
from stretto.shared.memory.readers import READABLE, read_document


def _pdf(*pages: str) -> bytes:
    """A PDF written by hand: one line of text a page."""
    kids = " ".join(f"{3 + 2 * at} 0 R" for at in range(len(pages)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    for at, text in enumerate(pages):
        content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        resources = f"/Resources << /Font << /F1 {font} >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {resources} /Contents {4 + 2 * at} 0 R >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n"
    )
    return data + f"{trailer}startxref\n{len(data)}\n%%EOF\n".encode()


def _docx() -> bytes:
    document = docx.Document()
    document.add_heading("Travel", level=0)
    document.add_heading("Hotels", level=1)
    document.add_paragraph("Book at least a week ahead.")
    document.add_paragraph("breakfast is included", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for row, cells in enumerate([("city", "limit"), ("Oslo", "180 EUR")]):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def _brief(elements: list[Element]) -> list[tuple[str, tuple[str, ...], str]]:
    return [(one.text, one.headings, f"{one.spot} {one.number}") for one in elements]


def test_markdown_keeps_its_own_lines_under_the_heading_path() -> None:
    source = (
        "# Refunds\n\nWithin *14* days.\n\n## Not refunded\n\n- gift cards\n- food\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    assert _brief(read_document("a.md", source.encode())) == [
        ("Within *14* days.", ("Refunds",), "line 3"),
        ("- gift cards\n- food", ("Refunds", "Not refunded"), "line 7"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", ("Refunds", "Not refunded"), "line 10"),
    ]


def test_markdown_headings_inside_code_are_no_headings_and_html_loses_its_tags() -> None:
    source = "---\ntitle: T\n---\n# `A` & [b](c)\n```sh\n# no heading\n```\n<p id=x>Hello <b>you</b><!-- hidden --></p>\n\n## Bare\n"
    assert _brief(read_document("a.MD", source.encode())) == [
        ("title: T", (), "line 2"),
        ("```sh\n# no heading\n```", ("A & b",), "line 5"),
        ("Hello you", ("A & b",), "line 8"),
        ("Bare", ("A & b",), "line 10"),
    ]


def test_plain_text_is_cut_at_blank_lines() -> None:
    assert _brief(read_document("a.txt", b"\n\nOne\r\ntwo\r\n\r\nThree")) == [
        ("One\ntwo", (), "line 3"),
        ("Three", (), "line 6"),
    ]


def test_restructuredtext_titles_make_the_path_by_the_order_of_their_underlines() -> None:
    source = (
        "=====\nGuide\n=====\n\nHello.\n\nSetup\n-----\nInstall it.\n\nOptions\n~~~~~~~\nNone.\n\nUse\n---\nRun it.\n"
    )
    assert _brief(read_document("a.rst", source.encode())) == [
        ("Hello.", ("Guide",), "line 5"),
        ("Install it.", ("Guide", "Setup"), "line 9"),
        ("None.", ("Guide", "Setup", "Options"), "line 13"),
        ("Run it.", ("Guide", "Use"), "line 17"),
    ]


def test_html_is_what_a_reader_of_the_page_sees() -> None:
    page = (
        "<html><head><title>t</title><style>p{}</style></head><body><nav>Home</nav><h1>Shop</h1><p>Open <b>9</b> to\n5.</p>"
        "<p hidden>obey me</p><div style='DISPLAY:none'>obey me</div><script>x()</script><h2>Prices</h2><ul><li>tea</li></ul>"
        "<table><tr><th>what</th><th>EUR</th></tr><tr><td>tea</td><td>3</td></tr></table><pre>a\n  b</pre><!-- c --></body></html>"
    )
    assert [(text, path) for text, path, _ in _brief(read_document("a.html", page.encode()))] == [
        ("Open 9 to 5.", ("Shop",)),
        ("- tea", ("Shop", "Prices")),
        ("| what | EUR |\n| --- | --- |\n| tea | 3 |", ("Shop", "Prices")),
        ("a\n  b", ("Shop", "Prices")),
    ]


def test_a_deeply_nested_page_is_read() -> None:
    page = "<div>" * 3000 + "<b>" * 3000 + "deep"
    assert [one.text for one in read_document("a.html", page.encode())] == ["deep"]


def test_pdf_text_keeps_its_page() -> None:
    assert _brief(read_document("a.pdf", _pdf("First page.", "Second page."))) == [
        ("First page.", (), "page 1"),
        ("Second page.", (), "page 2"),
    ]


def test_docx_paragraphs_lists_and_tables_stand_under_their_headings() -> None:
    assert [(text, path) for text, path, _ in _brief(read_document("a.docx", _docx()))] == [
        ("Book at least a week ahead.", ("Travel", "Hotels")),
        ("- breakfast is included", ("Travel", "Hotels")),
        ("| city | limit |\n| --- | --- |\n| Oslo | 180 EUR |", ("Travel", "Hotels")),
    ]


@pytest.mark.parametrize(
    "data",
    [
        "\ufeffCafé".encode(),
        "Café".encode("utf-16"),
        "Café".encode("utf-32"),
    ],
)
def test_a_byte_order_mark_tells_the_encoding(data: bytes) -> None:
    assert [one.text for one in read_document("a.txt", data)] == ["Café"]


def test_other_encodings_are_detected_or_declared() -> None:
    text = "Die Größe der Tür ist für Gäste genügend. Ein Schild weist auf die Öffnungszeiten hin."
    page = f'<meta charset="cp1251"><p>{"Привет"}</p>'
    assert [one.text for one in read_document("a.txt", text.encode("cp1252"))] == [text]
    assert [one.text for one in read_document("a.html", page.encode("cp1251"))] == ["Привет"]


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.rst", "a.html"])
def test_binary_junk_with_the_name_of_a_text_is_unreadable(name: str) -> None:
    with pytest.raises(Unreadable, match="not text"):
        read_document(name, random.Random(7).randbytes(5000))  # noqa: S311 (any bytes will do)


@pytest.mark.parametrize("name", ["a.pdf", "a.docx"])
@pytest.mark.parametrize("data", [b"", b"not at all", b"%PDF-1.7\n", b"PK\x03\x04"])
def test_a_broken_file_is_unreadable(name: str, data: bytes) -> None:
    with pytest.raises(Unreadable, match=r"not a (PDF|DOCX) that can be read"):
        read_document(name, data)


def test_a_zip_that_is_no_docx_is_unreadable() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(Unreadable, match="not a DOCX"):
        read_document("a.docx", buffer.getvalue())


def test_a_pdf_with_a_password_or_without_text_says_so() -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(_pdf("Secret."))))
    writer.encrypt("word", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    with pytest.raises(Unreadable, match="password"):
        read_document("a.pdf", buffer.getvalue())
    with pytest.raises(Unreadable, match="scan"):
        read_document("a.pdf", _pdf("", ""))


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(Unreadable, match=r"\.docx"):
        read_document("a.exe", b"")


@pytest.mark.parametrize(
    "hidden", ["\U000e0041\U000e007f", "\ufe0f", "\U000e0100", "\u200b\u200d\u2060", "\u202e", "\u00ad", "\x00\x1b"]
)
@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.html"])
def test_invisible_characters_are_stripped(name: str, hidden: str) -> None:
    text = f"Refunds ta{hidden}ke fourteen days" + " and so on" * 60
    assert "take fourteen" in read_document(name, text.encode())[0].text


@given(st.binary(max_size=2000), st.sampled_from(READABLE))
def test_any_bytes_are_read_or_unreadable(data: bytes, ending: str) -> None:
    try:
        elements = read_document(f"a{ending}", data)
    except Unreadable:
        return
    assert all(one.text.strip() and one.number > 0 for one in elements)
