#!/usr/bin/env python3
"""What each encoding, packing and format costs per byte, beside the plain path.

    cargo build --release && python3 benches/formats.py [ROWS]

Each file is taken in by `tillsync import` into a store of its own; a byte is one of the unpacked file.
The least of three runs counts. Files that have to be looked over before their first row may cost 2.5
times the plain path's time per byte, all others 1.5 times; it ends with 1 if one costs more.
"""

import csv
import gzip
import io
import os
import random
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.path.join(ROOT, "target/release/tillsync")
RUNS = 3
AS_IT_IS, LOOKED_OVER = 1.5, 2.5

chance = random.Random(7)
FIRST = ["Ann", "Bob", "Zoë", "Jürgen", "Chloé", "Maria", "Nils", "Eve"]
LAST = ["Roe", "Poe", "Müller", "Lefèvre", "Groß", "Nilsson", "Doe", "Smith"]
CITIES = ["Paris", "Köln", "Malmö", "Reno", "Lyon", "Bath"]


def table(header, rows, delimiter=","):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def person(n):
    first, last = chance.choice(FIRST), chance.choice(LAST)
    return [f"{first} {last}", f"p{n}@example.com", f"+4915{n:08d}", f"Street {n % 999}",
            chance.choice(CITIES), f"{n % 100000:05d}", "DE"]


def people(rows, date):
    """Customers in the plain format; `date` writes a birthday."""
    header = ["source_id", "name", "email", "phone", "address.line_1", "address.city",
              "address.postal_code", "address.country", "birthdate", "metadata.tier", "metadata.note"]
    return header, [[f"C{n:09d}", *person(n), date(n), "gold", f"note {n} of a customer"]
                    for n in range(rows)]


def iso(n):
    return f"{1950 + n % 55}-{1 + n % 12:02d}-{1 + n % 28:02d}"


def dots(n):
    return f"{1 + n % 28:02d}.{1 + n % 12:02d}.{1950 + n % 55}"


def slashes(n):
    return f"{1 + n % 28:02d}/{1 + n % 12:02d}/{1950 + n % 55}"


def products(rows, price):
    header = ["source_id", "name", "price", "image_url", "metadata.group"]
    return header, [[f"P{n:09d}", f"Lamp number {n}, tall", price(n),
                     f"https://shop.example.com/images/{n}.jpg", f"group {n % 40}"] for n in range(rows)]


def shopify(rows):
    header = ["Name", "Email", "Financial Status", "Fulfillment Status", "Currency", "Subtotal",
              "Total", "Discount Amount", "Created at", "Lineitem quantity", "Lineitem name",
              "Lineitem price", "Lineitem sku", "Vendor", "Id"]
    out = []
    for n in range(rows // 2):
        key, mail = f"#{n + 1001}", f"p{n}@example.com"
        at = f"2026-11-24 10:{n % 60:02d}:30 -0500"
        out.append([key, mail, "paid", "fulfilled", "EUR", "30.00", "33.50", "0.00", at, 2,
                    f"Lamp {n % 700}", "10.00", f"L-{n % 700}", "Lamps", 4_000_000_000_000 + n])
        out.append([key, mail, "", "", "", "", "", "", at, 1, f"Chair {n % 300}", "10.00",
                    f"C-{n % 300}", "Chairs", ""])
    return header, out


def woo(rows):
    header = ["ID", "Type", "SKU", "Name", "Regular price", "Parent", "Categories", "Images",
              "Attribute 1 name", "Attribute 1 value(s)"]
    out = []
    for n in range(rows // 3):
        image = f"https://shop.example.com/wp-content/{n}.jpg"
        out.append([3 * n, "variable", f"T-{n}", f"Tee number {n}", "", "", "Tees > Plain", image,
                    "Size", "S, L"])
        out += [[3 * n + k, "variation", f"T-{n}-{size}", f"Tee number {n} - {size}", "19.90", f"T-{n}",
                 "", image, "Size", size] for k, size in ((1, "S"), (2, "L"))]
    return header, out


def mparticle(rows):
    header = ["mpid", "scanned_timestamp_ms", "identity_value", "identity_type"]
    out = []
    for n in range(rows // 2):
        mpid = -9_000_000_000_000 + n
        out.append([mpid, 1546300800000, f"C{n:09d}", "customer_id"])
        out.append([mpid, 1546300800000, f"p{n}@example.com", "email"])
    return header, out


def klaviyo(rows):
    header = ["Email", "Klaviyo ID", "First Name", "Last Name", "Phone Number", "City", "Zip Code",
              "Country", "Last Open", "Total Customer Lifetime Value", "tags"]
    return header, [[f"p{n}@example.com", f"01H{n:011d}", chance.choice(FIRST), chance.choice(LAST),
                     f"+4915{n:08d}", chance.choice(CITIES), f"{n % 100000:05d}", "DE",
                     "2026-11-01 10:00:00", "129.90", '["vip","swim"]'] for n in range(rows)]


def erp(rows):
    header = ["Kundennummer", "Vorname", "Nachname", "Straße", "PLZ", "Ort", "Telefon",
              "Geburtsdatum", "Umsatz"]
    return header, [[f"{n:08d}", chance.choice(FIRST), chance.choice(LAST), f"Weg {n % 99}",
                     f"{n % 100000:05d}", chance.choice(CITIES), f"0351/{n}", dots(n),
                     f"{n % 9 + 1}.{n % 1000:03d},50"] for n in range(rows)]


def zipped(text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export.csv", text)
    return out.getvalue()


def cases(rows):
    """Name, kind, what is allowed, bytes unpacked, the file's name, its bytes."""
    plain = table(*people(rows, iso))
    semicolon = table(*people(rows, iso), delimiter=";")
    utf8 = plain.encode()

    def case(name, kind, allowed, text, file="a.csv", encoding="utf-8", pack=None):
        data = text.encode(encoding)
        return name, kind, allowed, len(data), file, pack(data) if pack else data

    yield case("plain, UTF-8", "customers", AS_IT_IS, plain)
    yield case("semicolons", "customers", AS_IT_IS, semicolon)
    yield case("tabs", "customers", AS_IT_IS, table(*people(rows, iso), delimiter="\t"))
    yield case("BOM, CRLF", "customers", AS_IT_IS, "\ufeff" + plain.replace("\n", "\r\n"))
    yield case("UTF-16 with BOM", "customers", LOOKED_OVER, plain, encoding="utf-16")
    yield case("Windows-1252", "customers", LOOKED_OVER, semicolon, encoding="cp1252")
    yield case("gzip", "customers", AS_IT_IS, plain, "a.csv.gz", pack=lambda data: gzip.compress(data, 6))
    yield "zip", "customers", AS_IT_IS, len(utf8), "a.zip", zipped(plain)
    yield case("dates with dots", "customers", AS_IT_IS, table(*people(rows, dots)))
    yield case("dates with slashes", "customers", LOOKED_OVER, table(*people(rows, slashes)))
    yield case("prices", "products", LOOKED_OVER, table(*products(rows, lambda n: f"{n % 999}.99")))
    yield case("decimal commas", "products", LOOKED_OVER,
               table(*products(rows, lambda n: f"{n % 999},99"), delimiter=";"))
    yield case("Klaviyo", "customers", AS_IT_IS, table(*klaviyo(rows)))
    yield case("German ERP", "customers", LOOKED_OVER, table(*erp(rows), delimiter=";"), encoding="cp1252")
    yield case("Shopify, orders", "orders", LOOKED_OVER, table(*shopify(rows)))
    yield case("WooCommerce, products", "products", LOOKED_OVER, table(*woo(rows)))
    yield case("mParticle, audience", "customers", LOOKED_OVER, table(*mparticle(rows)))


def seconds(kind, file, data):
    least = None
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(f"{root}/drop")
            os.makedirs(f"{root}/state")
            config = f"{root}/tillsync.toml"
            with open(config, "w") as out:
                out.write(f'state_dir = "{root}/state"\n[[folder]]\nname = "f"\npath = "{root}/drop"\n'
                          f'kind = "{kind}"\n')
                # Orders of any age, and as many changes as there are.
                out.write('live = "3650d"\n' if kind == "orders" else "")
                out.write('[local]\nlisten = ""\n')
            path = f"{root}/{file}"
            with open(path, "wb") as out:
                out.write(data)
            begin = time.perf_counter()
            done = subprocess.run([BINARY, "import", path, "--folder", "f", "--config", config],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            took = time.perf_counter() - begin
            if done.returncode != 0:
                sys.exit(f"{file}: {done.stdout.decode()}")
            least = took if least is None else min(least, took)
    return least


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    print(f"{'file':24} {'MB':>7} {'s':>7} {'ns/byte':>8} {'ratio':>6}  allowed")
    base, over = None, False
    for name, kind, allowed, size, file, data in cases(rows):
        took = seconds(kind, file, data)
        cost = took / size
        base = base or cost
        mark = "  OVER" if cost > allowed * base else ""
        over |= bool(mark)
        print(f"{name:24} {size / 1e6:7.1f} {took:7.2f} {cost * 1e9:8.2f} {cost / base:6.2f}  {allowed}{mark}",
              flush=True)
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    main()
