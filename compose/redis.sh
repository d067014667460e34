#!/bin/sh
# Starts Redis: redis.sh MEMORY_MB. The password is not among the arguments, which whoever lists processes can read.
set -eu
umask 077
cat > /tmp/redis.conf <<END
bind * -::*
dir /data
appendonly yes
appendfsync everysec
# A broker's and a feature store's keys are never thrown away.
maxmemory ${1}mb
maxmemory-policy noeviction
requirepass $(cat /run/secrets/REDIS_PASSWORD)
END
exec redis-server /tmp/redis.conf
