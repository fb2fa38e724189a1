#!/bin/sh
# Writes the secrets that compose.yaml mounts, random ones, and leaves alone those that exist. POSIX sh, openssl.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
# The folder is closed; the files in it are read by the user of the containers, whose number is another.
chmod 700 secrets

make() {
  if [ -s "secrets/$1" ]; then
    echo "kept   secrets/$1"
  else
    printf '%s\n' "$2" >"secrets/$1"
    echo "wrote  secrets/$1"
  fi
  chmod 644 "secrets/$1"
}

make postgres_password "$(openssl rand -hex 24)"
make database_url "postgres://guild:$(cat secrets/postgres_password)@postgres:5432/guild"
make admin_key "guild_$(openssl rand -hex 32)"
make github_webhook_secret "$(openssl rand -hex 32)"
echo
echo "Give the content of secrets/github_webhook_secret to the webhook of GitHub."
