# Building the examples; sourced by tests/examples/run.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # Variables of whoever sources this.

readonly JARS=/usr/share/java
classpath=$room/java
for jar in amqp-client jackson-databind jackson-core jackson-annotations slf4j-api slf4j-nop; do
  classpath+=:$JARS/$jar.jar
done
rust_programs=$(dirname "$hongbaod")/examples

# Installs what a manifest pins, again only when the manifest has changed.
installed() { # DIRECTORY MANIFEST
  [[ -e $1/installed ]] && cmp -s "$2" "$1/installed"
}

# Debian's packages are older than what pom.xml and go.mod pin; the programs use what both have.
build_java() {
  local jar
  for jar in amqp-client jackson-databind; do
    [[ -e $JARS/$jar.jar ]] || fail "$jar.jar is missing: apt-get install librabbitmq-client-java libjackson2-databind-java"
  done
  command -v javac >/dev/null || fail "javac is missing: apt-get install default-jdk-headless"
  if [[ ! $room/java/Producer.class -nt $examples/java/Producer.java || \
    ! $room/java/Subscriber.class -nt $examples/java/Subscriber.java ]]; then
    javac -Xlint:all,-serial -Werror -cp "$classpath" -d "$room/java" "$examples"/java/*.java
  fi
}

build_go() {
  local ill name
  command -v go >/dev/null || fail "go is missing: apt-get install golang-go golang-github-rabbitmq-amqp091-go-dev"
  ill=$(gofmt -l "$examples/go")
  [[ -z $ill ]] || fail "not formatted by gofmt: $ill"
  for name in producer subscriber; do
    (
      cd "$examples/go" || exit
      # Debian's libraries, instead of modules from a proxy.
      export GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS=""
      go vet "./$name"
      go build -o "$room/go/$name" "./$name"
    )
  done
}

build_python() {
  if ! installed "$room/python" "$examples/python/requirements.txt"; then
    rm -rf "$room/python"
    python3 -m venv "$room/python"
    "$room/python/bin/pip" install --quiet --requirement "$examples/python/requirements.txt"
    cp "$examples/python/requirements.txt" "$room/python/installed"
  fi
}

build_node() {
  if ! installed "$room/node" "$examples/node/package-lock.json"; then
    rm -rf "$room/node"
    mkdir -p "$room/node"
    cp "$examples"/node/package*.json "$room/node/"
    npm --prefix "$room/node" ci --silent --ignore-scripts --no-audit --no-fund
    cp "$examples/node/package-lock.json" "$room/node/installed"
  fi
  cp "$examples"/node/*.mjs "$room/node/"
}

# `cargo test` and `cargo build --examples` put them beside the binary.
build_rust() {
  local name
  for name in producer subscriber; do
    [[ $rust_programs/$name -nt $examples/rust/$name.rs ]] ||
      fail "$rust_programs/$name is missing or old: cargo build --examples"
  done
}

build_all() {
  local language pid
  local -a building=()
  mkdir -p "$room/java" "$room/go"
  for language in $languages; do
    "build_$language" &
    building+=($!)
  done
  for pid in "${building[@]}"; do
    wait "$pid"
  done
}

# Puts what starts a program into command[].
program() { # LANGUAGE producer|subscriber
  case $1 in
    # -UsePerfData: no file of its own, for the phase with a full disk. The rest: a quick start.
    java) command=(java -XX:-UsePerfData -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$classpath" "${2^}") ;;
    go) command=("$room/go/$2") ;;
    python) command=("$room/python/bin/python" "$examples/python/$2.py") ;;
    node) command=(node "$room/node/$2.mjs") ;;
    rust) command=("$rust_programs/$2") ;;
  esac
}
