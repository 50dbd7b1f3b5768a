#!/usr/bin/env bash
# A real smbd on loopback: what a Windows host does on the share that `tillsync init` describes.
#   tests/host/smb.sh [TILLSYNC]     default: target/debug/tillsync
# Runs as root; needs smbd, smbclient, setpriv, curl, python3. User and group are made in a mount
# namespace of its own, so that nothing of this host changes; whatever it starts lives in a process
# namespace of its own, and ends with it, however it ends. Ends with 77 where namespaces are forbidden.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$(readlink -f "${1:-$here/../../target/debug/tillsync}")
if [ "${IN_NAMESPACE:-}" != yes ]; then
  unshare --mount --pid --fork --mount-proc true || { echo "no namespaces of one's own here" >&2; exit 77; }
  IN_NAMESPACE=yes exec unshare --mount --propagation private --pid --fork --kill-child=TERM --mount-proc \
    "$here/$(basename "$0")" "$program"
fi

work=$(mktemp -d)
chmod 755 "$work"
finish() {
  status=$?
  trap - EXIT INT TERM
  if [ "$status" -ne 0 ]; then tail -n 30 "$work"/*.log >&2 || true; fi
  # All that is left in this process namespace, smbd's own children, too; not this shell, its first.
  kill -KILL -1 2>/dev/null || true
  wait 2>/dev/null || true
  umount /etc/passwd /etc/group 2>/dev/null || true
  rm -rf "$work" || status=1
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() { echo "FAILED: $*" >&2; exit 1; }
ok() { echo "ok: $*"; }
same() { [ "$2" = "$3" ] || fail "$1: expected $3, found $2"; ok "$1"; }
# await WHAT COMMAND...: until it succeeds, or 30 s
await() {
  local what=$1 begun=$SECONDS
  shift
  until "$@" >/dev/null 2>&1; do
    [ $((SECONDS - begun)) -lt 30 ] || fail "$what"
    sleep 0.1
  done
  ok "$what"
}

# As the package makes them (packaging/tillsync.sysusers), and ann, who drops files.
for file in passwd group; do
  cp "/etc/$file" "$work/$file"
  sed -i '/^tillsync\|^ann:/d' "$work/$file"
done
echo 'tillsync:x:59801:59801::/nonexistent:/usr/sbin/nologin' >>"$work/passwd"
echo 'ann:x:59802:59802::/nonexistent:/usr/sbin/nologin' >>"$work/passwd"
printf '%s\n' 'tillsync:x:59801:' 'ann:x:59802:' 'tillsync-drop:x:59803:tillsync,ann' >>"$work/group"
for file in passwd group; do mount --bind "$work/$file" "/etc/$file"; done

"$program" standin --listen 127.0.0.1:0 >"$work/standin.log" 2>&1 &
await "the stand-in listens" grep -q '^listening on ' "$work/standin.log"
url=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/standin.log")

site=$work/site
"$program" init --dir "$site" >"$work/init.log"
sed -i -e "s|^# url = .*|url = \"$url\"|" -e 's|^# settle = .*|settle = "1s"|' \
  -e 's|^# listen = .*|listen = ""|' "$site/tillsync.toml"
for name in app-id app-token; do
  echo "$name" >"$site/$name"
  chown tillsync: "$site/$name"
  chmod 600 "$site/$name"
done
drop=$site/drop/customers
same "the drop folder is shared by its group" "$(stat -c '%a %U:%G' "$drop")" "2770 tillsync:tillsync-drop"

as_service() { setpriv --reuid tillsync --regid tillsync-drop --clear-groups -- "$@"; }
tillsync() { as_service "$program" "$@" --config "$site/tillsync.toml"; }
as_service env -C / "$program" run --config "$site/tillsync.toml" >"$work/daemon.log" 2>&1 &

# smb.conf: a server of our own on a free port, and the very stanza that `init` prints.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -m 755 "$work/smb"
{
  printf '[global]\n'
  printf '   %s\n' 'server role = standalone server' "smb ports = $port" 'interfaces = lo' \
    'smb2 max write = 65536' 'smb2 max credits = 8' \
    'bind interfaces only = yes' 'load printers = no' 'disable spoolss = yes' 'log level = 1' \
    "log file = $work/smbd.log" "passdb backend = tdbsam:$work/smb/passdb.tdb"
  for dir in private lock state cache pid ncalrpc; do
    mkdir "$work/smb/$dir"
    case $dir in private | ncalrpc) echo "   $dir dir = $work/smb/$dir" ;; *) echo "   $dir directory = $work/smb/$dir" ;; esac
  done
  sed -n '/^  \[drop\]/,/^$/p' "$work/init.log"
} >"$work/smb.conf"
grep -q 'force group = tillsync-drop' "$work/smb.conf" || fail "init prints the share's stanza"
printf 'pass-4-ann\npass-4-ann\n' | smbpasswd -L -c "$work/smb.conf" -s -a ann >>"$work/smbpasswd.log" 2>&1 \
  || fail "smbpasswd"
# In a process group of its own: at its end it signals the whole group.
setsid smbd --foreground --no-process-group --configfile="$work/smb.conf" </dev/null >>"$work/smbd.log" 2>&1 &
smb() { smbclient //127.0.0.1/drop -p "$port" -U 'ann%pass-4-ann' -s "$work/smb.conf" -D customers -c "$1"; }
await "smbd answers" smb ls

records() { curl -fsS -H "X-App-Id: app-id" -H "X-App-Token: app-token" "$url/v1/customers?limit=1" \
  | python3 -c 'import json, sys; print(json.load(sys.stdin)["total"])'; }
stored() { [ "$(tillsync files --format json | python3 -c 'import json, sys; print(sum(f["name"] == "'"$1"'" and f["state"] == "stored" for f in json.load(sys.stdin)))')" = "${2:-1}" ]; }
at_remote() { [ "$(records)" = "$1" ]; }
mkdir "$work/pc"
cd "$work/pc"

printf 'source_id,name,birthdate\nc1,Ann,1990-05-06\nc2,Bob,1991-05-06\n' >copied.csv
smb 'put copied.csv'
await "a copied file is stored" stored copied.csv
await "and delivered" at_remote 2

# A program that writes for longer than `settle` at a stretch, with the file held open all the while.
{
  echo 'source_id,name,birthdate'
  seq 20000 | sed 's/.*/s&,Customer number & of a long export that is written slowly,/'
  sleep 6
  for n in 1 2 3; do echo "t$n,after the pause,"; done
} | smb 'put - slow.csv' &
writer=$!
await "a file begins to be written" sh -c "[ -s '$drop/slow.csv' ]"
sleep 2.5
kill -0 "$writer" || fail "smbclient wrote it at one go: there was no pause to try"
if stored slow.csv; then fail "half a file was taken in"; fi
ok "what is being written waits"
wait "$writer"
await "a slow file is stored" stored slow.csv
await "whole, and delivered" at_remote 20005
same "by one reading" "$(find "$drop/archive" -name '*-slow.csv' | wc -l)" 1

printf 'source_id,name,birthdate\nr1,Renamed,\n' >renamed.csv
smb 'put renamed.csv renamed.csv.part'
sleep 2.5
if stored renamed.csv || stored renamed.csv.part; then fail "a .part file was taken in"; fi
smb 'rename renamed.csv.part renamed.csv'
await "a file is taken once it has its name" stored renamed.csv

printf 'source_id,name,birthdate\nb1,Good,1990-05-06\nb2,Bad,1990-13-45\n' >bad.csv
smb 'put bad.csv'
await "a file with a bad row is stored" stored bad.csv
rejects() { find "$drop/rejects" -name "*-bad.csv.rejects.csv" -printf '%f\n'; }
await "its rejects stand beside it" sh -c "ls '$drop'/rejects/*-bad.csv.rejects.csv"
name=$(rejects)
for dir in archive rejects; do
  same "$dir/ has the folder's rights" "$(stat -c '%a %G' "$drop/$dir")" "2770 tillsync-drop"
done
same "rejects belong to who drops" "$(stat -c '%a %U:%G' "$drop/rejects/$name")" "660 tillsync:tillsync-drop"
smb "get rejects\\$name mended.csv" >/dev/null 2>&1
sed -i 's/1990-13-45/1990-12-24/' mended.csv
smb "put mended.csv $name"
await "a mended rejects file is stored" stored "$name"
smb "del rejects\\$name"
[ ! -e "$drop/rejects/$name" ] || fail "who drops may delete rejects"
ok "who drops may delete rejects"
# Mended where it stands, as a person with a spreadsheet does it, and an archived one taken back.
archived=$(find "$drop/archive" -name '*-bad.csv' -printf '%f\n' | head -n 1)
smb "get archive\\$archived again.csv" >/dev/null 2>&1 || fail "who drops may read the archive"
ok "who drops may read the archive"
await "all is delivered" at_remote 20008
same "nothing waits" "$(tillsync status --format json | python3 -c 'import json, sys; s = json.load(sys.stdin); print(sum(s["pending"].values()), sum(s["parked"].values()), s["files"]["waiting"])')" "0 0 0"
echo "all well"
