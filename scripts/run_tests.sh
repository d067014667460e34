#!/usr/bin/env bash
# Run pytest with the arguments given; a few tests that fail run once more, alone.
#
# Many of them start real servers and load both processors, so once in some thousand a deadline passes for want of one.
# A few that fail run once more with the machine to themselves: a fault fails again, and what passes is named for
# whoever looks after the tests. More than a few are no accident.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
python=${PYTHON:-.venv/bin/python}
few=5

"$python" -m pytest --cache-clear "$@"
status=$?
[ "$status" -eq 1 ] || exit "$status"

failed=$("$python" -c 'import json; print(*json.load(open(".pytest_cache/v/cache/lastfailed")), sep="\n")') || exit 1
count=$(grep -c . <<<"$failed")
if [ "$count" -gt "$few" ]; then
  echo "$count tests failed: more than $few are not run again" >&2
  exit 1
fi
printf '\n%s failed; once more, alone:\n%s\n\n' "$count" "$failed" >&2
"$python" -m pytest "$@" -n 0 --no-cov --last-failed --last-failed-no-failures none || exit
printf '\npassed only alone, which deserves a look:\n%s\n' "$failed" >&2
