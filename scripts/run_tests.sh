#!/usr/bin/env bash
# All tests with coverage, two at a time.
#
# Many of them start real servers and load both processors, so once in some thousand a deadline passes for want of one.
# A few that fail run once more with the machine to themselves: a fault fails again, and what passes is named for
# whoever looks after the tests. More than a few are no accident.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
few=5

"$python" -m pytest -n 2 --dist worksteal --cache-clear --cov --cov-report=term "$@"
status=$?
[ "$status" -eq 1 ] || exit "$status"

failed=$("$python" -c 'import json; print(*json.load(open(".pytest_cache/v/cache/lastfailed")), sep="\n")') || exit 1
count=$(grep -c . <<<"$failed")
if [ "$count" -gt "$few" ]; then
  echo "$count tests failed: more than $few are not run again" >&2
  exit 1
fi
printf '\n%s failed beside other tests; once more, alone:\n%s\n\n' "$count" "$failed" >&2
"$python" -m pytest --last-failed --last-failed-no-failures none "$@" || exit
printf '\npassed only alone, which deserves a look:\n%s\n' "$failed" >&2
