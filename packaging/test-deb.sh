#!/bin/sh
# Installs, upgrades, removes and purges the package in a clean Debian tree, and checks that nothing
# of what it keeps for people is ever lost.
#   packaging/test-deb.sh OLD.deb NEW.deb
# Runs as root; needs debootstrap and a Debian mirror. TREE=<dir> keeps the tree for the next time.
set -eu
old=$(readlink -f "$1")
new=$(readlink -f "$2")
tree=${TREE:-$(mktemp -d)}
if [ ! -e "$tree/etc/debian_version" ]; then
    debootstrap --variant=minbase --include=systemd,ca-certificates bookworm "$tree" "${MIRROR:-http://deb.debian.org/debian}" >/dev/null
fi
work=$(mktemp -d)
cp -a "$tree/." "$work/"
trap 'rm -rf "$work"; [ -n "${TREE:-}" ] || rm -rf "$tree"' EXIT

in_tree() { chroot "$work" "$@"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
check() { # what, command...
    what=$1
    shift
    "$@" || fail "$what"
    echo "ok: $what"
}
same() { [ "$1" = "$2" ] || { echo "expected: $2, found: $1" >&2; false; }; }
rights() { in_tree stat -c '%a %U:%G' "$1"; }

cp "$old" "$work/old.deb"
cp "$new" "$work/new.deb"

in_tree dpkg -i /old.deb >"$work/install.log" 2>&1 || { cat "$work/install.log" >&2; fail install; }
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

in_tree tillsync init >"$work/init.log" || { cat "$work/init.log" >&2; fail init; }
echo "kept" >"$work/var/lib/tillsync/kept"
echo "kept" >"$work/srv/drop/customers/kept.csv"
echo "# kept" >>"$work/etc/tillsync/tillsync.toml"
all_kept() {
    grep -q kept "$work/var/lib/tillsync/kept" && grep -q kept "$work/srv/drop/customers/kept.csv" \
        && grep -q '# kept' "$work/etc/tillsync/tillsync.toml"
}

in_tree dpkg -i /new.deb >/dev/null 2>&1 || fail upgrade
check "an upgrade keeps everything" all_kept
check "rights stay" same "$(rights /var/lib/tillsync)" "700 tillsync:tillsync-drop"
in_tree dpkg -r tillsync >/dev/null 2>&1 || fail remove
check "removed" test ! -e "$work/usr/bin/tillsync"
check "a removal keeps everything" all_kept
in_tree dpkg -P tillsync >"$work/purge.log" 2>&1 || fail purge
check "a purge keeps the data" all_kept
check "a purge says where it is" grep -q /var/lib/tillsync "$work/purge.log"
in_tree dpkg -i /new.deb >/dev/null 2>&1 || fail "install again"
check "installed again, it finds everything" all_kept
echo "all well"
