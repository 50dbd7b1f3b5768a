#!/bin/sh
# Builds the Debian package of what Cargo.toml lists under [package.metadata.deb]:
#   packaging/build-deb.sh [DIR]     default: target/debian
# BINARY=<file> packages a program that is built already (else it is built for release); VERSION=<text>
# gives another version. Needs dpkg-deb and python3, and no cargo-deb: to build that takes longer than
# all the rest.
set -eu
cd "$(dirname "$0")/.."
out=${1:-target/debian}
binary=${BINARY:-target/release/tillsync}
[ -n "${BINARY:-}" ] || cargo build --locked --release --bin tillsync
made=target/packaging
mkdir -p "$made" "$out"
"$binary" man | gzip -9n >"$made/tillsync.1.gz"
"$binary" completions bash >"$made/tillsync.bash"
"$binary" completions zsh >"$made/_tillsync"
"$binary" completions fish >"$made/tillsync.fish"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
package=$(python3 - "$tree" "$binary" "${VERSION:-}" "$(dpkg --print-architecture)" <<'PYTHON'
import pathlib, shutil, subprocess, sys, textwrap, tomllib

tree, binary, version, architecture = sys.argv[1:]
tree = pathlib.Path(tree)
package = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]
deb = package["metadata"]["deb"]


def put(source, target, mode):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


for source, target, mode in deb["assets"]:
    path = tree / target
    if target.endswith("/"):
        path /= pathlib.Path(source).name
    if source == "target/release/tillsync":
        source = binary
        put(source, path, int(mode, 8))
        # Debug information is of no use to a store.
        subprocess.run(["strip", "--strip-unneeded", path], check=False)
    else:
        put(source, path, int(mode, 8))
name = package["name"]
put(deb["license-file"][0], tree / "usr/share/doc" / name / "copyright", 0o644)
for script in sorted(pathlib.Path(deb["maintainer-scripts"]).iterdir()):
    if script.name in ("preinst", "postinst", "prerm", "postrm"):
        put(script, tree / "DEBIAN" / script.name, 0o755)
version = version or package["version"] + "-1"
size = sum(-(-p.stat().st_size // 1024) for p in tree.rglob("*") if p.is_file())
fields = {
    "Package": name,
    "Version": version,
    "Architecture": architecture,
    "Maintainer": deb["maintainer"],
    "Installed-Size": size,
    "Depends": deb["depends"],
    "Recommends": deb["recommends"],
    "Suggests": deb["suggests"],
    "Section": deb["section"],
    "Priority": deb["priority"],
    "Description": package["description"],
}
text = "".join(f"{field}: {value}\n" for field, value in fields.items())
text += "".join(f" {line}\n" for line in textwrap.wrap(deb["extended-description"], 78))
(tree / "DEBIAN" / "control").write_text(text)
for folder in [tree, *(p for p in tree.rglob("*") if p.is_dir())]:
    folder.chmod(0o755)
print(f"{name}_{version}_{architecture}.deb")
PYTHON
)
dpkg-deb --root-owner-group --build "$tree" "$out/$package" >/dev/null
echo "$out/$package"
