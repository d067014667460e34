#!/usr/bin/env bash
# Build the container images: images.sh [--prefix PREFIX] [--tag TAG] [--bento FOLDER] [--no-cache] [--push] [--no-build] [--find] [NAME...]
#   --prefix   registry and folder before the names (localhost)
#   --tag      of all of them (the version in pyproject.toml)
#   --bento    a built bento, its folder (the one that `make bento` built)
#   --push     to their registry, once built
#   --no-build takes images that were built before
#   --find     builds nothing, and prints where each is: registry (asked with --push alone), here, nowhere
#   NAME       scoring, workers, dashboard (all three)
# Built with docker, podman or buildah, whichever is there and works, or with IMAGE_BUILDER. PYTHON_IMAGE is what they
# stand on; PIP_INDEX_URL and PIP_EXTRA_INDEX_URL are handed on, and torch's wheel in the folder PIP_FIND_LINKS. Beside
# each image a bill of materials is written, to FRAUD_HOME/images. docs/images.md says more.
set -euo pipefail
cd "$(dirname "$0")/.."

prefix=localhost tag=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) bento='' cache=() names=() push='' build=1 find=''
home=${FRAUD_HOME:-var} python=${PYTHON:-.venv/bin/python}
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=${2:?--prefix needs a value}; shift ;;
    --tag) tag=${2:?--tag needs a value}; shift ;;
    --bento) bento=${2:?--bento needs a folder}; shift ;;
    --no-cache) cache=(--no-cache) ;;
    --push) push=1 ;;
    --no-build) build='' ;;
    --find) find=1 ;;
    scoring | workers | dashboard) names+=("$1") ;;
    --help) sed -n '2,/^set/s/^# \?//p' "$0"; exit ;;
    *) echo "unknown argument '$1'; allowed: --prefix, --tag, --bento, --no-cache, --push, --no-build, --find, scoring, workers, dashboard" >&2; exit 2 ;;
  esac
  shift
done
[ ${#names[@]} -gt 0 ] || names=(scoring workers dashboard)

fail() { echo "images: $*" >&2; exit 1; }

find_builder() {
  local builder
  for builder in ${IMAGE_BUILDER:-docker podman buildah}; do
    # A docker without its daemon is no builder.
    command -v "$builder" >/dev/null && "$builder" info >/dev/null 2>&1 && { echo "$builder"; return; }
  done
  fail "${IMAGE_BUILDER:-docker, podman or buildah} is needed and does not answer here; install one, or start docker's daemon"
}

is_here() { # image
  case $builder in
    buildah) buildah inspect --type image "$1" ;;
    *) "$builder" image inspect "$1" ;;
  esac >/dev/null 2>&1
}

# A registry that does not answer holds nothing either; pushing says so then.
is_in_registry() { # image
  case $builder in
    docker) docker buildx imagetools inspect "$1" ;;
    # Their `manifest inspect` takes lists alone; an entry of a list is read from the registry, without its layers.
    *)
      local list=fraud-look-$$ found=0
      "$builder" manifest create "$list" || return 1
      "$builder" manifest add "$list" "docker://$1" || found=1
      "$builder" rmi "$list"
      return "$found" ;;
  esac >/dev/null 2>&1
}

where_is() { # name
  local image=$prefix/fraud-$1:$tag
  if [ -n "$push" ] && is_in_registry "$image"; then echo registry
  elif is_here "$image"; then echo here
  else echo nowhere; fi
}

push_image() { # name
  local image=$prefix/fraud-$1:$tag
  case $builder in
    buildah) buildah push "$image" "docker://$image" ;;
    *) "$builder" push "$image" ;;
  esac >&2 || fail "$image could not be pushed; log in to its registry first, or name another with --prefix"
  echo "images: pushed $image" >&2
}

# Where the bento lies; the tag is what `make bento` noted.
find_bento() {
  local noted
  noted=$(sed 's/^__tag__://' "$home/bento.tag" 2>/dev/null) || fail "no bento was built under $home; run \`make bento\` first, or give one with --bento FOLDER"
  echo "${BENTOML_HOME:-$home/bentoml}/bentos/${noted/://}"
}

gather_context() { # folder
  mkdir "$1/src"
  cp pyproject.toml constraints.txt README.md "$1/src/"
  cp -r k8s/images "$1/images"
  cp -r helm/fraud-platform "$1/chart"
  mkdir "$1/wheels"
  [ ! -d "${PIP_FIND_LINKS:-}" ] || cp "$PIP_FIND_LINKS"/torch-*.whl "$1/wheels/" 2>/dev/null || true
  local package
  for package in bentos training dashboard k8s; do
    [ -d "$package" ] || continue
    tar --create --exclude=__pycache__ --exclude='*.so' --exclude='k8s/images' "$package" | tar --extract --directory "$1/src"
  done
  if [ -n "$bento" ]; then
    [ -f "$bento/bento.yaml" ] || fail "$bento holds no bento.yaml: it is no bento"
    cp -rL "$bento" "$1/bento"
    # When it was built makes no difference to what it is.
    sed -i "s/^creation_time: .*/creation_time: '1980-01-01T00:00:00+00:00'/" "$1/bento/bento.yaml"
  fi
  chmod -R u=rwX,go=rX "$1"
}

bento_label() { # name: of the bento's labels
  sed -n "s/^  $1: *'\?\([^']*\)'\?$/\1/p" "$bento/bento.yaml" | head -1
}

build() { # name
  local image=$prefix/fraud-$1:$tag options=("${cache[@]}") labels=(
    "org.opencontainers.image.title=fraud-$1"
    "org.opencontainers.image.version=$tag"
    "org.opencontainers.image.revision=$revision"
    "org.opencontainers.image.created=$created"
    "org.opencontainers.image.licenses=Apache-2.0"
  )
  if [ "$1" = scoring ]; then
    local name
    for name in model_name model_version mlflow_run_id mlflow_model_version data_hash artifact_digest; do
      labels+=("fraud.$name=$(bento_label "$name")")
    done
  fi
  local label
  for label in "${labels[@]}"; do options+=(--label "$label"); done
  for name in PYTHON_IMAGE PIP_INDEX_URL PIP_EXTRA_INDEX_URL; do
    [ -z "${!name:-}" ] || options+=(--build-arg "$name=${!name}")
  done
  options+=(--file "$context/images/$1.Dockerfile")
  case $builder in
    docker) docker buildx build "${options[@]}" --build-arg "SOURCE_DATE_EPOCH=$layer_time" \
      --output "type=docker,name=$image,rewrite-timestamp=true" "$context" ;;
    *) "$builder" build "${options[@]}" --layers --timestamp "$layer_time" --tag "$image" "$context" ;;
  esac
  echo "images: built $image" >&2
  write_bill "$1" "$image"
}

# What the image's own Python finds installed in it.
write_bill() { # name, image
  local program listing container bill=$home/images/fraud-$1-$tag.cdx.json
  program=$("$python" scripts/image_bom.py --program)
  if [ "$builder" = buildah ]; then
    container=$(buildah from --pull-never "$2")
    listing=$(buildah run "$container" -- python -c "$program") || { buildah rm "$container" >/dev/null; fail "$2 does not run"; }
    buildah rm "$container" >/dev/null
  else
    listing=$("$builder" run --rm --network none --entrypoint python "$2" -c "$program") || fail "$2 does not run"
  fi
  mkdir -p "$home/images"
  "$python" scripts/image_bom.py "fraud-$1" "$tag" "$created" "$bill" <<< "$listing"
  echo "images: wrote $bill" >&2
}

if [ -n "$find" ]; then
  builder=$(find_builder)
  for name in "${names[@]}"; do where_is "$name"; done
  exit
fi
if [ -z "$build" ]; then
  [ -n "$push" ] || fail "--no-build without --push leaves nothing to do"
  builder=$(find_builder)
  for name in "${names[@]}"; do push_image "$name"; done
  exit
fi
"$python" -c 'import cyclonedx, packageurl' 2>/dev/null || fail "$python has no cyclonedx-python-lib to write bills of materials with; run \`make images\`"
builder=$(find_builder)
# Of all files in layers, whatever the commit: what has not changed is the same layer. Zip knows no earlier time.
readonly layer_time=315532800
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || revision=$revision-modified
created=$(date --utc --date "@$(git log -1 --format=%ct 2>/dev/null || echo "$layer_time")" +%Y-%m-%dT%H:%M:%SZ)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
[[ " ${names[*]} " != *" scoring "* ]] || bento=${bento:-$(find_bento)}
gather_context "$context"
for name in "${names[@]}"; do
  build "$name"
  [ -z "$push" ] || push_image "$name"
done
