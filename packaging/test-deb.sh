#!/bin/sh
# Installs, upgrades, removes and purges the package in a clean Debian tree, and checks that nothing
# of what it keeps for people is ever lost.
#   packaging/test-deb.sh [OLD.deb NEW.deb]     default: both made by build-deb.sh, of the same program
# Runs as root; needs debootstrap, python3, setpriv and a Debian mirror: this host's own (MIRROR=<address>
# names another), of the Debian that it runs. Ends with 77 where the tree cannot be had.
# TREE=<dir> keeps it for the next time.
set -eu
here=$(dirname "$(readlink -f "$0")")
standin='' daemon=''
made=$(mktemp -d)
work=$made/work
tree=${TREE:-$made/tree}
trap 'kill $standin $daemon 2>/dev/null || true; rm -rf "$made"' EXIT
trap 'exit 1' INT TERM
if [ $# -ge 2 ]; then
    old=$(readlink -f "$1")
    new=$(readlink -f "$2")
else
    old=$(cd "$here/.." && readlink -f "$(VERSION=0.0.1-1 packaging/build-deb.sh "$made")")
    new=$(cd "$here/.." && readlink -f "$(packaging/build-deb.sh "$made")")
fi

in_tree() { chroot "$work" "$@"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
cannot() { echo "$*" >&2; exit 77; }
[ "$(id -u)" = 0 ] || cannot "only root may make a Debian tree"
if [ ! -e "$tree/etc/debian_version" ]; then
    command -v debootstrap >/dev/null || cannot "no debootstrap here"
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' "Codename: $codename" | head -n 1)}
    [ -n "$mirror" ] || cannot "apt knows of no Debian mirror here"
    debootstrap --variant=minbase --include=systemd,ca-certificates "$codename" "$tree" "$mirror" >"$made/log" 2>&1 \
        || { tail -n 5 "$made/log" >&2; cannot "no Debian tree could be made"; }
fi
mkdir "$work"
cp -a "$tree/." "$work/"

check() { # what, command...
    what=$1
    shift
    "$@" || fail "$what"
    echo "ok: $what"
}
same() { [ "$1" = "$2" ] || { echo "expected: $2, found: $1" >&2; false; }; }
rights() { in_tree stat -c '%a %U:%G' "$1"; }

# Between apt's questions and its answers stands nobody.
echo 'APT::Get::Assume-Yes "true"; APT::Install-Recommends "false";' >"$work/etc/apt/apt.conf.d/99answers"
cp "$old" "$work/old.deb"
cp "$new" "$work/new.deb"

# The first of README's lines; what is only recommended is not fetched.
in_tree apt-get install -y --no-install-recommends /old.deb >"$work/install.log" 2>&1 || { cat "$work/install.log" >&2; fail install; }
check "it says what comes next" grep -q 'sudo tillsync init' "$work/install.log"
check "the program runs" in_tree tillsync --version
check "the service's user is there" in_tree getent passwd tillsync
check "he may use what is dropped" sh -c "chroot '$work' id -nG tillsync | grep -qw tillsync-drop"
check "the state is his alone" same "$(rights /var/lib/tillsync)" "700 tillsync:tillsync-drop"
check "who drops shares the folder" same "$(rights /srv/drop/customers)" "2770 tillsync:tillsync-drop"
check "the man page is there" test -s "$work/usr/share/man/man1/tillsync.1.gz"
for file in bash-completion/completions/tillsync zsh/vendor-completions/_tillsync fish/vendor_completions.d/tillsync.fish; do
    check "completions: $file" test -s "$work/usr/share/$file"
done
check "systemd finds no fault in the unit" same "$(in_tree systemd-analyze verify /usr/lib/systemd/system/tillsync.service 2>&1)" ""
check "the unit is closed tight" sh -c "chroot '$work' systemd-analyze security --offline=true --threshold=12 /usr/lib/systemd/system/tillsync.service >/dev/null"

# README's own lines, from the first after the installation. What they ask a person for is typed by
# what stands in for him; there is no systemd at work in the tree, so the unit's command is run as its
# user and group.
"$work/usr/bin/tillsync" standin --listen 127.0.0.1:0 >"$work/standin.log" 2>&1 &
standin=$!
until grep -q '^listening on ' "$work/standin.log"; do kill -0 $standin || fail "no stand-in"; sleep 0.1; done
url=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/standin.log")
cat >"$work/usr/local/bin/editor" <<END
#!/bin/sh
sed -i 's|^# url = .*|url = "$url"|; s|^# settle = .*|settle = "1s"|; s|^# listen = .*|listen = ""|' "\$1"
END
cat >"$made/systemctl" <<'END'
#!/bin/sh
unit=/usr/lib/systemd/system/tillsync.service
of() { sed -n "s/^$1=//p" $unit; }
case "$*" in
"enable --now tillsync")
    setpriv --reuid "$(of User)" --regid "$(of Group)" --init-groups $(of ExecStart) >>/daemon.log 2>&1 &
    echo $! >/daemon.pid
    ;;
"disable --now tillsync")
    kill "$(cat /daemon.pid)"
    while kill -0 "$(cat /daemon.pid)" 2>/dev/null; do sleep 0.1; done
    ;;
*)
    echo "not expected: systemctl $*" >&2
    exit 1
    ;;
esac
END
chmod 755 "$work/usr/local/bin/editor" "$made/systemctl"
with_systemctl() { cp "$made/systemctl" "$work/usr/local/bin/systemctl"; }
with_systemctl
printf 'source_id,name\nc1,Ann\nc2,Bob\n' >"$work/customers.csv"
# readme FROM TO N: the N-th block of commands between two lines of README, into a file.
readme() { sed -n "/^$1/,/^$2/p" "$here/../README.md" | awk -v n="$3" '/^```sh/ { b++; next } /^```/ { i = b; next } b == n && i < n'; }
type_lines() { # file: one line after another, as a person at this host types them
    while read -r line; do
        case $line in
        "tillsync login"*) line="printf 'app-id\napp-token\n' | tillsync login --stdin" ;;
        "tillsync rebind"*) line="tillsync rebind --yes" ;;
        esac
        in_tree sh -c "cd / && $line" </dev/null >"$work/line.log" 2>&1 || { cat "$work/line.log" "$work/daemon.log" >&2; fail "README: $line"; }
        echo "ok: $line"
    done <"$1"
    daemon=$(cat "$work/daemon.pid")
}
readme '## Set it up for real' '### Shares' 1 | grep -v '^apt install' >"$made/lines"
check "README has the lines" grep -q '^tillsync login' "$made/lines"
type_lines "$made/lines"
at_remote() { # how many customers
    python3 - "$url" "$1" <<'END'
import json, sys, urllib.request
ask = urllib.request.Request(sys.argv[1] + "/v1/customers?limit=10", headers={"X-App-Id": "app-id", "X-App-Token": "app-token"})
sys.exit(0 if json.load(urllib.request.urlopen(ask))["total"] == int(sys.argv[2]) else 1)
END
}
await_remote() { # what, how many customers
    tries=0
    until at_remote "$2"; do
        tries=$((tries + 1))
        [ $tries -lt 120 ] || { cat "$work/daemon.log" >&2; fail "$1"; }
        sleep 0.5
    done
    echo "ok: $1"
}
await_remote "the first file is delivered" 2

# Whatever root types, beside the daemon and without it, the state stays its owner's.
strangers() { find "$work/var/lib/tillsync" ! \( -user "$(owner -u)" -a -group "$(owner -g tillsync-drop)" \) -printf '%f '; }
owner() { case $1 in -u) in_tree id -u tillsync ;; -g) in_tree getent group "$2" | cut -d: -f3 ;; esac; }
as_root() { # command...: of tillsync, ended with 0, or with 65 (there is something to do)
    in_tree tillsync "$@" >"$work/line.log" 2>&1 || [ $? -eq 65 ] || { cat "$work/line.log" >&2; fail "tillsync $*"; }
    check "the state is its owner's after root's \`$*\`" same "$(strangers)" ""
}
printf 'source_id,name\nc3,Eve\n' >"$work/root/by-hand.csv"
chmod 600 "$work/root/by-hand.csv"
commands() {
    as_root status
    as_root todo
    as_root files --format json
    as_root pause
    as_root resume
    as_root plan /root/by-hand.csv --folder customers
    as_root import /root/by-hand.csv --folder customers
    as_root retry --all
    as_root backup "/root/$1.db"
    as_root check --online
    as_root audit
}
commands beside
kill "$daemon"
while kill -0 "$daemon" 2>/dev/null; do sleep 0.1; done
rm "$work/usr/local/bin/systemctl"
commands alone
as_root sync
mv "$work/var/lib/tillsync" "$work/var/lib/kept"
in_tree install -d -m 0700 -o tillsync -g tillsync-drop /var/lib/tillsync
as_root restore /root/alone.db
as_root status
rm -r "$work/var/lib/tillsync"
mv "$work/var/lib/kept" "$work/var/lib/tillsync"
records() { in_tree tillsync changes --format csv | sort; }
before=$(records)
check "the store is not empty" test -n "$before"

echo "kept" >"$work/var/lib/tillsync/kept"
echo "kept" >"$work/srv/drop/customers/kept.csv"
echo "# kept" >>"$work/etc/tillsync/tillsync.toml"
all_kept() {
    grep -q kept "$work/var/lib/tillsync/kept" && grep -q kept "$work/srv/drop/customers/kept.csv" \
        && grep -q '# kept' "$work/etc/tillsync/tillsync.toml"
}

in_tree dpkg -i /new.deb >/dev/null 2>&1 || fail upgrade
check "the new version is in place" same "$(in_tree dpkg-query -W -f '${Version}' tillsync)" "$(dpkg-deb -f "$new" Version)"
check "an upgrade keeps everything" all_kept
check "and every record" same "$(records)" "$before"
check "rights stay" same "$(rights /var/lib/tillsync)" "700 tillsync:tillsync-drop"
in_tree dpkg -r tillsync >/dev/null 2>&1 || fail remove
check "removed" test ! -e "$work/usr/bin/tillsync"
check "a removal keeps everything" all_kept
in_tree dpkg -P tillsync >"$work/purge.log" 2>&1 || fail purge
check "a purge keeps the data" all_kept
check "a purge says where it is" grep -q /var/lib/tillsync "$work/purge.log"
in_tree dpkg -i /new.deb >/dev/null 2>&1 || fail "install again"
check "installed again, it finds everything" all_kept
check "and every record again" same "$(records)" "$before"

# To a new box, by README's lines.
rm "$work/srv/drop/customers/kept.csv"
with_systemctl
in_tree systemctl enable --now tillsync
mkdir -p "$work/media/stick"
readme '### To a new box' '## Years' 1 >"$made/old-box"
readme '### To a new box' '## Years' 2 >"$made/new-box"
check "README has the lines for the old box" grep -q '^tillsync backup' "$made/old-box"
check "and for the new one" grep -q '^tillsync restore' "$made/new-box"
type_lines "$made/old-box"
before=$(records)
old_box=$work
work=$made/new
mkdir "$work"
cp -a "$tree/." "$work/"
cp "$old_box/etc/apt/apt.conf.d/99answers" "$work/etc/apt/apt.conf.d/"
cp "$new" "$work/tillsync_new.deb"
with_systemctl
mkdir -p "$work/media/stick"
cp "$old_box"/media/stick/* "$work/media/stick/"
type_lines "$made/new-box"
check "the new box has every record" same "$(records)" "$before"
check "and its rights" same "$(strangers)" ""
check "files dropped before stand in its archive" sh -c "ls '$work'/srv/drop/customers/archive/*-customers.csv >/dev/null"
printf 'source_id,name\nc4,Kim\n' >"$work/srv/drop/customers/.next" && mv "$work/srv/drop/customers/.next" "$work/srv/drop/customers/next.csv"
await_remote "a file dropped there is delivered" 4
echo "all well"
