#!/bin/sh
# Starts PostgreSQL, by its own programs alone, so that any image with them will do. The data's folder is made under
# another name: what is killed in the middle begins anew.
set -eu
cd /var/lib/postgresql
if [ ! -d database ]; then
  rm -rf new
  initdb --pgdata new --username fraud --pwfile /run/secrets/POSTGRESQL_PASSWORD --auth scram-sha-256 \
    --encoding UTF8 --locale C.UTF-8
  echo 'host all all all scram-sha-256' >> new/pg_hba.conf
  for name in fraud mlflow; do
    echo "create database $name;" | postgres --single -D new postgres
  done
  mv new database
fi
exec postgres -D database -c listen_addresses='*' -c unix_socket_directories=/tmp
