"""Small workbooks, written as the formats describe them."""

import base64
import struct
import zipfile
import zlib
from xml.sax.saxutils import escape, quoteattr

DATE_TIME, CLOCK, DURATION = 1, 2, 3
_STYLES = (
    '<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><numFmts count="3">'
    '<numFmt numFmtId="164" formatCode="yyyy-mm-dd hh:mm:ss"/><numFmt numFmtId="165" formatCode="hh:mm:ss"/>'
    '<numFmt numFmtId="166" formatCode="[h]:mm:ss"/></numFmts><cellXfs count="4"><xf numFmtId="0"/>'
    '<xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="166"/></cellXfs></styleSheet>'
)
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


class Serial:
    """A number of days as Excel stores times, shown in a format."""

    def __init__(self, days, style=DATE_TIME):
        self.days, self.style = days, style


def write_xlsx(path, sheets, hidden=()):
    """Write sheets, dicts of cells by reference ("B3"): texts, numbers, booleans or `Serial`."""
    numbered = list(enumerate(sheets.items(), 1))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("[Content_Types].xml", "<Types/>")
        root = f'<Relationship Id="r" Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/>'
        book.writestr("_rels/.rels", f'<Relationships xmlns="{_PACKAGE}">{root}</Relationships>')
        book.writestr("xl/styles.xml", _STYLES)
        state = {title: ' state="hidden"' * (title in hidden) for title in sheets}
        listed = "".join(
            f'<sheet name={quoteattr(title)} sheetId="{n}"{state[title]} r:id="r{n}"/>' for n, (title, _) in numbered
        )
        book.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets>{listed}</sheets></workbook>'
        )
        links = "".join(
            f'<Relationship Id="r{n}" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n, _ in numbered
        )
        book.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{_PACKAGE}">{links}</Relationships>')
        for n, (_, cells) in numbered:
            book.writestr(f"xl/worksheets/sheet{n}.xml", _sheet(cells))
    return path


def _sheet(cells):
    rows = {}
    for reference, value in cells.items():
        rows.setdefault(int(reference.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")), []).append(_cell(reference, value))
    texts = (f'<row r="{number}">{"".join(row)}</row>' for number, row in sorted(rows.items()))
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(texts)}</sheetData></worksheet>'


def _cell(reference, value):
    if isinstance(value, Serial):
        return f'<c r="{reference}" s="{value.style}"><v>{value.days!r}</v></c>'
    if isinstance(value, bool):
        return f'<c r="{reference}" t="b"><v>{value:d}</v></c>'
    if isinstance(value, str):
        return f'<c r="{reference}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f'<c r="{reference}"><v>{value!r}</v></c>'


def write_ods(path, rows):
    """Write a workbook of one sheet from cells as OpenDocument spells them, such as `office:value="1"`."""
    namespaces = " ".join(
        f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{short}:1.0"' for short in ("office", "table", "text")
    )
    cells = ("".join(f"<table:table-cell {attributes}/>" for attributes in row) for row in rows)
    body = "".join(f"<table:table-row>{row}</table:table-row>" for row in cells)
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        book.writestr("META-INF/manifest.xml", "<manifest/>")
        book.writestr(
            "content.xml",
            f'<office:document-content {namespaces}><office:body><office:spreadsheet><table:table table:name="Data">'
            f"{body}</table:table></office:spreadsheet></office:body></office:document-content>",
        )
    return path


def write_protected(path):
    """Write what Excel writes for a workbook with a password: an OLE file with the stream `EncryptedPackage`."""
    free, end, fat = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, end, 0, end, 0)
    header += struct.pack("<109I", 0, *[free] * 108)
    sectors = struct.pack("<128I", fat, end, *[free] * 126)

    def entry(name, kind, child):
        text = name.encode("utf-16-le") + b"\0\0"
        return text.ljust(64, b"\0") + struct.pack("<HBBIII36xIQ", len(text), kind, 1, free, free, child, end, 0)

    directory = entry("Root Entry", 5, 1) + entry("EncryptedPackage", 2, free) + 2 * bytes(128)
    path.write_bytes(header + sectors + directory)
    return path


def write_xls(path):
    """Write an Excel 97 workbook: A2 `t`, B2 `kwh`, A3 2024-01-01 00:15 as a date, B3 0.25."""
    path.write_bytes(zlib.decompress(base64.b85decode(_XLS)))
    return path


_XLS = (
    "c-rk)O=uHA6#izDG(WUyQWK#SODI^iwuj<Hgt}GGo-9=nMFiWLU?e7$P>_1iXw6X&JSkoZ_28xI#UJ#bHxEKZ4}u^h3SK-33LcuQ@4d`o8W9?>"
    "h01)(ym|Z0dpol;^JZrE&0@4P_pqys2JC?cRVRp+I!;jvx;GI}x#O_v<^f8M!MZ{)Km*z0!?U*6ejY;}?=mbr@V+Doe4=y`=P^2!OC{D2`=kvM"
    "irX+mQsE9UVRTBXIz*lpxk2Q8v3xFaSeWY~hsd_1PGHd<?c1ei@o}q1%EI91J{F%3!VDsgS3HX^-%vGMANJ<YPMlk31>N3O%!3AWB$Z3$`96-j"
    "9I`WnfoyglnM|b9yR+F6Vl?FQ_~9gg?`~|rNEm)?c?IHsF6aG!;R7_3jr>i^3l!jtOQ;kPLdC-+7LE)q>2R@XOZYSuWG<vbyqHVyN0tSDn*>EG"
    "$t2oEkBVo6>Rr0`?d`$IG5eG-1zGTG+rk#E9}cdt2RVm@l_rR7pU52|ugX(5iQXkLM)Q{P-m$n=4$O+pH7V_-dUgul*<0)MZKM~!9(vMU{A_P0"
    "ePN`0F}CpDo<k39Q%UmYYZm>gU){dNcxt=3(tYw#Wal5tNx+K88(47k-q(%_^(u2wA!>KrJ4)MI4fY-@tQV`Jgu>=8!<Vd(?$I;6#abPB#0Ior"
    "{YD4|1_lNO1_lNO2CD|859oYU=OesNe+KyVf1L`Ys`*Xw-{LT)=$fX_$^FPtp2tj6^JgP`%6*nvp^y8&ka3J^&m)6LX-B5%`AeU1s{Vae>=^lX"
    "A=GUB)n?kc%Ju&OO5V-T"
)


def write_xlsb(path, rows):
    """Write a workbook of one sheet "Data" in Excel's binary format ([MS-XLSB]): rows of texts and numbers."""
    cells = bytearray()
    for number, row in enumerate(rows):
        cells += _record(0, struct.pack("<IIHHBI", number, 0, 300, 0, 0, 1) + struct.pack("<II", 0, len(row) - 1))
        for column, value in enumerate(row):
            place = struct.pack("<II", column, 0)
            is_text = isinstance(value, str)
            cells += _record(6 if is_text else 5, place + (_wide(value) if is_text else struct.pack("<d", value)))
    size = struct.pack("<IIII", 0, len(rows) - 1, 0, max(map(len, rows)) - 1)
    sheet = b"".join(
        [_record(129), _record(148, size), _record(145), bytes(cells), _record(146), _record(130)]
    )  # BrtBeginSheet, BrtWsDim, BrtBeginSheetData, …
    listed = _record(156, struct.pack("<II", 0, 1) + _wide("rId1") + _wide("Data"))
    book = b"".join([_record(131), _record(143), listed, _record(144), _record(132)])
    links = f'<Relationship Id="rId1" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.bin"/>'
    root = f'<Relationship Id="r" Type="{_RELATIONS}/officeDocument" Target="xl/workbook.bin"/>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("_rels/.rels", f'<Relationships xmlns="{_PACKAGE}">{root}</Relationships>')
        archive.writestr("xl/_rels/workbook.bin.rels", f'<Relationships xmlns="{_PACKAGE}">{links}</Relationships>')
        archive.writestr("xl/workbook.bin", book)
        archive.writestr("xl/worksheets/sheet1.bin", sheet)
    return path


def _wide(text):
    """A text of BIFF12: its length, and its letters in two bytes each."""
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def _record(kind, content=b""):
    """A record of BIFF12: its kind in one or two bytes, its size in seven bits a byte, and its content."""
    header = bytes([kind]) if kind < 128 else bytes([kind & 127 | 128, kind >> 7])
    size, count = bytearray(), len(content)
    while True:
        size.append(count & 127 | (128 if count > 127 else 0))
        count >>= 7
        if not count:
            return header + bytes(size) + content
