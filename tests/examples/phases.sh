# What is tried, phase by phase; sourced by tests/examples/run.
# shellcheck shell=bash
# shellcheck disable=SC2154 # Variables of whoever sources this.

readonly JOBS=23 DISTINCT=22 # a duplicate is no event of its own, conflict and invalid are

expect_answers() { # LANGUAGE NAME
  local results
  results=$(jq -r .result "$1-$2.out" | sort | uniq -c | tr -s ' ' | tr '\n' ';')
  equal "answers to $1 ($2)" " 2 rejected; 21 succeeded;" "$results"
}

first_jobs() {
  local language
  tap disburse
  start_subscribers
  for_each produce_all first
  expect_codes "first jobs" 0
  for language in $languages; do
    expect_answers "$language" first
  done
  expect_worked $((DISTINCT * count))
  check_messages
}

# Every message as its producer wrote it: persistent, typed, numbered, dated, traced, answered.
check_messages() {
  local ill messages
  # Without the daemon's own copies, that come back from its ladder of waiting queues.
  messages=$(drain tap | jq 'map(select(.properties.headers["x-death"] == null))')
  equal "messages seen" $((JOBS * count)) "$(jq length <<<"$messages")"
  ill=$(jq -c --arg now "$(date +%s)" '.[] | .properties as $p | select((
      $p.delivery_mode == 2 and $p.content_type == "application/json"
      and ($p.message_id | length >= 32) and $p.correlation_id == $p.message_id
      and ($p.reply_to | startswith("amq.gen-"))
      and ($p.timestamp - ($now | tonumber) | fabs) < 60
      and ($p.headers["x-hongbao-published-ms"] / 1000 - $p.timestamp | fabs) < 1
      and ($p.headers.traceparent | test("^00-[0-9a-f]{32}-[0-9a-f]{16}-01$"))
    ) | not) | [.properties, .payload]' <<<"$messages")
  [[ -z $ill ]] || fail "not as it should be published: $ill"
  equal "message ids used twice" "" "$(jq -r '.[].properties.message_id' <<<"$messages" | sort | uniq -d)"
  # The tap would go on taking copies of jobs.
  api "queues/%2f/tap" -X DELETE
}

copies() {
  local language
  tap disburse.urgent
  for_each produce_again
  expect_codes "the same jobs again, and one from flags" 0
  for language in $languages; do
    expect_answers "$language" again
  done
  equal "jobs in the urgent lane" "$count" "$(drain tap | jq length)"
  api "queues/%2f/tap" -X DELETE
  expect_worked $(((DISTINCT + 1) * count))
}

failures() {
  local language
  for_each produce_in_vain
  for language in $languages; do
    equal "codes of $language: no queue, no broker, no answer" "1 69 1" "$(cat "$language-in-vain.codes")"
    equal "confirmed by $language, without an answer" 1 "$(number_of confirmed "$(cat "$language-unanswered.err")")"
    # The shard is that of the table in docs/lanes.md.
    grep -q '^R202611220001: returned, disburse.31: 312 NO_ROUTE$' "$language-unroutable.err" ||
      fail "$language does not say that the job was returned"
    equal "confirmed by $language, of a returned job" 0 "$(number_of confirmed "$(cat "$language-unroutable.err")")"
  done
}

crash() {
  local language
  crash_rabbitmq &
  local crashing=$!
  for_each produce_through_crash
  wait "$crashing"
  expect_codes "jobs around a crash of RabbitMQ" 0
  for language in $languages; do
    equal "confirmed by $language around a crash" 50 "$(number_of confirmed "$(cat "$language-crash.err")")"
    (($(number_of "published again" "$(cat "$language-crash.err")") > 0)) ||
      fail "$language had no job on its way when RabbitMQ crashed: this tried nothing"
  done
  expect_worked $(((DISTINCT + 1 + 50) * count))
}

publish_event() { # BODY
  jq -n --arg body "$1" '{properties: {delivery_mode: 2}, routing_key: "disburse.succeeded",
      payload: $body, payload_encoding: "string"}' |
    api "exchanges/%2f/hongbao.outcomes/publish" --data @- | jq -e .routed >/dev/null
}

event() { # NUMBER[/MORE OF THE ID] RESULT.VERSION [REASON, as JSON]
  echo '{"specversion":"1.0","id":"main/disburse/'"$1"'","type":"hongbao.disburse.'"$2"'",'\
'"new":{"attribute":[1]},"data":{"app":"main","kind":"disburse","result":"'"${2%.*}"'","new":"field",'\
'"out_request_no":"'"${1%%/*}"'","amount":"0.88","reason":'"${3:-null}"'}}'
}

# Four events that are not to be worked, and four that are: they all have unknown fields, one is not
# terminal, and two are rejected, for a reason that settles the number and for one that nobody knows.
declare -A copies_of=()
by_hand() {
  local language dead
  publish_event 'no JSON'
  publish_event "$(event H1 succeeded.v2)"
  publish_event '{"specversion":"1.0","type":"hongbao.disburse.succeeded.v1"}'
  publish_event "$(event H1/celebrated celebrated.v1)"
  publish_event "$(event H1/unresolved unresolved.v1)"
  publish_event "$(event H1 succeeded.v1)"
  publish_event "$(event H2 rejected.v1 '"expired"')"
  publish_event "$(event H3/new rejected.v1 '"a_new_word"')"
  expect_worked $(((DISTINCT + 1 + 50) * count + 4))
  stop_subscribers
  for language in $languages; do
    equal "poison of $language" 3 "$(number_of poison "${counts[$language]}")"
    equal "ignored by $language" 1 "$(number_of ignored "${counts[$language]}")"
    # Of each job of the second phase, of each duplicate, and whatever the crash has repeated.
    (($(number_of copies "${counts[$language]}") >= (JOBS + 1) * count)) ||
      fail "$language has seen too few copies: ${counts[$language]}"
    dead=$(drain "$language.outcomes.dead" | jq length)
    equal "dead letters of $language" 3 "$dead"
    check_meanings "$language"
    copies_of[$language]=$(number_of copies "${counts[$language]}")
  done
}

check_meanings() { # LANGUAGE
  local meanings
  meanings=$(jq -r .what "$1.out" | sort | uniq -c | tr -s ' ' | tr '\n' ';')
  # A conflict and an invalid job of each producer are for a person to look at, and settle nothing.
  equal "meanings to $1" " $((71 * count + 1)) done; $((2 * count + 1)) look; 1 not done; 1 wait;" "$meanings"
}

# The limit of a file's size is the nearest to a full disk that does not need one.
subscribe_on_full_disk() { # LANGUAGE
  exec 2>/dev/null # in which the shell would tell that the limit ended a program
  program "$1" subscriber
  (
    ulimit -f 0 -c 0
    exec timeout 20 "${command[@]}" --amqp "$HONGBAOD_TEST_AMQP" --queue "$1.outcomes" --store "$1.store"
  ) 2>&1 | cat >"$1-full.err"
}

full_disk() {
  local language before number
  before=$(wc -l <"${languages%% *}.out")
  for number in {1..5}; do
    job "full-$number" '"0.10"'
  done >full.ndjson
  # An event is on the exchange, and so in every queue, before the answer goes to whoever waits for it.
  produce full --file full.ndjson --wait 30 "${languages%% *}"
  for_each subscribe_on_full_disk
  for language in $languages; do
    ((codes["$language"] != 0 && codes["$language"] != 124)) ||
      fail "$language did not stop although it could not store: code ${codes[$language]}"
    ! grep -q '"what"' "$language-full.err" || fail "$language says that it worked what it did not store"
  done
  start_subscribers
  expect_worked $((before + 5))
  stop_subscribers
}

paid() { # EXPRESSION over the list of disbursements
  curl -sf "$operations" | jq -c "[.[] | select(.kind == \"disburse\")] | $1"
}

check_books() {
  equal "numbers paid" $((71 * count + 5)) "$(paid 'map(.out_request_no) | unique | length')"
  equal "payments" $((71 * count + 5)) "$(paid length)"
  equal "payments that are not SUCCESS" 0 "$(paid 'map(select(.status != "SUCCESS")) | length')"
  # The copy with another amount was not paid, nor the invalid job.
  equal "amounts" "$(jq -cn --argjson n "$count" \
    '[["0.10", 5], ["0.50", 50 * $n], ["0.88", 20 * $n], ["1.05", $n]]')" \
    "$(paid 'group_by(.amount) | map([.[0].amount, length])')"
  equal "invalid jobs paid" 0 "$(paid 'map(select(.out_request_no | endswith("-invalid"))) | length')"
}

sum_of() { # NAME TEXT: from many "worked 3, copies 4"
  grep -oP "(?<=\b$1 )[0-9]+" <<<"$2" | paste -sd + | { read -r terms && echo $((terms)); }
}

print_table() {
  local language name text
  local format='%-8s | %9s | %8s | %8s | %15s | %6s | %6s | %5s\n'
  # shellcheck disable=SC2059 # One format for head and rows.
  printf "$format" language confirmed answered returned "published again" worked copies looks
  for language in $languages; do
    text=$(cat "$language"-{first,again,flags,unroutable,crash}.err)
    local -a cells=("$language")
    for name in confirmed answered returned "published again"; do
      cells+=("$(sum_of "$name" "$text")")
    done
    cells+=("$(wc -l <"$language.out")" "${copies_of[$language]}" "$(grep -c '"look"' "$language.out")")
    # shellcheck disable=SC2059
    printf "$format" "${cells[@]}"
  done
  echo "books: $(paid length) payments of $(paid 'map(.out_request_no) | unique | length') numbers"
}
