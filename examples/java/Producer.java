import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.Return;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayDeque;
import java.util.Date;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeoutException;
import java.util.zip.CRC32;

/**
 * Publishes jobs for hongbaod, each until the broker confirms it; the rules are in docs/clients.md.
 *
 * <p>A job comes from flags, or many from NDJSON (--file, `-` is the standard input). With --wait,
 * the outcomes come back to a queue of this program's own and are printed. Exit codes: 0 all
 * confirmed (and answered), 1 something is not, 64 usage, 69 no broker.
 */
final class Producer {
  /** Jobs on their way at a time. It bounds memory, and what is published again after a break. */
  private static final int WINDOW = 256;

  /** A confirm that takes longer is not waited for: the connection counts as broken. */
  private static final long CONFIRM_MS_MAX = 30_000;

  private static final Set<String> TERMINAL =
      Set.of("succeeded", "failed", "rejected", "signed", "found", "not_found");
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final SecureRandom RANDOM = new SecureRandom();

  /** One message. It stays as it is however often it is published: same body, same numbers. */
  private static final class Job {
    final String number;
    final String routingKey;
    final byte[] body;
    // For a query it is part of the event's id, so each has its own, a repetition the same one.
    final String messageId = UUID.randomUUID().toString();
    final long createdMs = System.currentTimeMillis();
    final String traceparent = traceparent();
    long publishedMs;
    boolean returned;
    boolean answered;

    /** Reads only what is needed to send it: the daemon checks the rest and says what is wrong. */
    Job(String text, Options options) throws JsonProcessingException {
      JsonNode job = JSON.readTree(text);
      if (!job.isObject()) {
        throw new IllegalArgumentException("no JSON object");
      }
      number = job.path("out_request_no").asText();
      routingKey = routingKey(job.path("kind").asText(), number, options);
      body = text.getBytes(StandardCharsets.UTF_8);
    }

    BasicProperties properties(String replyTo) {
      return new BasicProperties.Builder()
          .contentType("application/json")
          .deliveryMode(2) // persistent
          .messageId(messageId)
          .correlationId(messageId)
          .replyTo(replyTo)
          .timestamp(new Date(createdMs))
          // AMQP's timestamp knows whole seconds only.
          .headers(Map.of("traceparent", traceparent, "x-hongbao-published-ms", createdMs))
          .build();
    }
  }

  /** In a service: of the span in which the job arises. */
  private static String traceparent() {
    String given = System.getenv("TRACEPARENT");
    return given != null ? given : "00-" + randomHex(16) + "-" + randomHex(8) + "-01";
  }

  private static String randomHex(int length) {
    byte[] bytes = new byte[length];
    RANDOM.nextBytes(bytes);
    return HexFormat.of().formatHex(bytes);
  }

  /** Money is an integer of fen until it becomes a text. It is never a double. */
  private static String yuan(long fen) {
    return "%d.%02d".formatted(fen / 100, fen % 100);
  }

  private static String disburse(Options options) {
    return JSON.createObjectNode()
        .put("kind", "disburse")
        // Equal numbers: then not even a lost ledger lets a job be paid twice.
        .put("out_request_no", options.text("out-request-no"))
        .put("out_order_no", options.text("out-request-no"))
        .put("deduct_out_order_no", options.text("packet"))
        .put("order_title", "Lucky money")
        .put("amount", yuan(options.number("fen")))
        .put("payee_user_id", options.text("payee"))
        .toString();
  }

  /** `kind`, or the lane for urgent jobs, or one of the shards of the normal lane. */
  private static String routingKey(String kind, String number, Options options) {
    if (options.has("urgent") && Set.of("disburse", "pay").contains(kind)) {
      return kind + ".urgent";
    }
    // A number goes to the same shard each time. Any other shard would be right, too.
    CRC32 crc = new CRC32();
    crc.update(number.getBytes(StandardCharsets.UTF_8));
    long shard = crc.getValue() % options.number("shards");
    boolean hasShards = Set.of("disburse", "refund", "pay").contains(kind);
    return shard > 0 && hasShards ? kind + "." + shard : kind;
  }

  private final Options options;
  private final ArrayDeque<Job> input = new ArrayDeque<>();
  private boolean inputEnded;
  private ArrayDeque<Job> again = new ArrayDeque<>(); // to be published again, the oldest first
  private final TreeMap<Long, Job> unconfirmed = new TreeMap<>(); // on this connection, by tag
  private final Map<String, Job> unanswered = new LinkedHashMap<>(); // by correlation id
  private final Map<String, Integer> counts = new LinkedHashMap<>();
  private String replyTo;
  private String broken;
  private int failures;
  private long progressMs = System.currentTimeMillis();

  private Producer(Options options) {
    this.options = options;
    for (var name : List.of("confirmed", "returned", "unreadable", "answered", "published again")) {
      counts.put(name, 0);
    }
  }

  private int run() throws Exception {
    Thread reader = new Thread(this::read, "reader");
    reader.setDaemon(true);
    reader.start();
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(options.text("amqp"));
    factory.setRequestedHeartbeat(10);
    // It would bring back the channel, but not what was unconfirmed on it. So we do both.
    factory.setAutomaticRecoveryEnabled(false);
    while (!isFinished()) {
      try {
        live(factory);
        break;
      } catch (IOException | ShutdownSignalException | TimeoutException e) {
        System.err.println("connection: " + (e.getCause() != null ? e.getCause() : e));
        publishAgain();
        if (isOutOfPatience()) {
          break;
        }
        // Full jitter: a thousand producers that lost one broker do not come back at once.
        long ceiling = Math.min(5000, 100L << failures);
        failures = Math.min(failures + 1, 10);
        Thread.sleep(ThreadLocalRandom.current().nextLong(ceiling));
      }
    }
    return report();
  }

  /** Reads ahead on a thread of its own, but not without bounds. */
  private void read() {
    try {
      if (!options.has("file")) {
        offer(disburse(options));
      } else {
        boolean isStdin = options.text("file").equals("-");
        var stream = isStdin ? System.in : Files.newInputStream(Path.of(options.text("file")));
        try (var lines = new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8))) {
          for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            offer(line);
          }
        }
      }
    } catch (IOException | InterruptedException e) {
      unreadable(e + ": the input was not read to its end");
    }
    synchronized (this) {
      inputEnded = true;
      notifyAll();
    }
  }

  private synchronized void offer(String line) throws InterruptedException {
    try {
      input.add(new Job(line, options));
    } catch (JsonProcessingException | IllegalArgumentException e) {
      unreadable(e.getMessage() + ": not sent");
    }
    notifyAll();
    while (input.size() >= WINDOW) {
      wait();
    }
  }

  private synchronized void unreadable(String message) {
    count("unreadable");
    System.err.println(message);
  }

  private void count(String name) {
    counts.merge(name, 1, Integer::sum);
  }

  private synchronized boolean isFinished() {
    return inputEnded && !hasUnsent() && unconfirmed.isEmpty() && unanswered.isEmpty();
  }

  private synchronized boolean waitsForAnswers() {
    return inputEnded && !hasUnsent() && unconfirmed.isEmpty() && !unanswered.isEmpty();
  }

  private boolean hasUnsent() {
    return !input.isEmpty() || !again.isEmpty();
  }

  private synchronized boolean isOutOfPatience() {
    long seconds = options.number(waitsForAnswers() ? "wait" : "patience");
    return System.currentTimeMillis() - progressMs > 1000 * seconds;
  }

  /**
   * Nobody knows what became of the unconfirmed ones, so they are published again: the same number
   * with the same content is the same job. The unanswered ones, too: their answers would go to a
   * queue that ended with the connection, and a job that was settled is told again to whoever asks.
   */
  private synchronized void publishAgain() {
    Set<Job> open = new LinkedHashSet<>(unconfirmed.values());
    open.addAll(unanswered.values());
    open.addAll(again);
    again = new ArrayDeque<>(open);
    unconfirmed.clear();
    unanswered.clear();
  }

  /** One connection, from its opening to its end. Returns when nothing is left to wait for. */
  private void live(ConnectionFactory factory) throws Exception {
    broken = null;
    Connection connection = factory.newConnection("example producer");
    try {
      Channel channel = connection.createChannel();
      channel.addShutdownListener(cause -> breaks(cause.getMessage()));
      // Both are called by the connection's one thread, in the order in which the broker spoke.
      channel.addReturnListener(this::onReturn);
      channel.addConfirmListener(this::onConfirm, (tag, multiple) -> breaks("nack"));
      channel.confirmSelect();
      replyTo = options.number("wait") > 0 ? listen(channel) : null;
      for (Job job = next(channel); job != null; job = next(channel)) {
        boolean mandatory = true;
        String exchange = options.text("prefix") + ".jobs";
        // Not under the lock: it may wait for the network.
        channel.basicPublish(exchange, job.routingKey, mandatory, job.properties(replyTo), job.body);
      }
    } finally {
      connection.abort(1000);
    }
  }

  /** A queue for the answers. It is exclusive: it ends with this connection. */
  private String listen(Channel channel) throws IOException {
    String queue = channel.queueDeclare().getQueue();
    channel.basicConsume(queue, true, (tag, answer) -> onAnswer(answer), tag -> breaks("cancelled"));
    return queue;
  }

  /** A nack, or the end of the channel. What is unconfirmed goes again after a wait. */
  private synchronized void breaks(String reason) {
    broken = reason;
    notifyAll();
  }

  /** Waits for a job and for room in the window. Null: nothing is left to wait for. */
  private synchronized Job next(Channel channel) throws IOException, InterruptedException {
    while (true) {
      if (broken != null) {
        throw new IOException(broken);
      }
      if (isFinished() || (waitsForAnswers() && isOutOfPatience())) {
        return null;
      }
      long now = System.currentTimeMillis();
      if (!unconfirmed.isEmpty()
          && now - unconfirmed.firstEntry().getValue().publishedMs > CONFIRM_MS_MAX) {
        throw new IOException("no confirm");
      }
      int onTheirWay = replyTo != null ? unanswered.size() : unconfirmed.size();
      if (onTheirWay < WINDOW && hasUnsent()) {
        return take(channel, now);
      }
      if (onTheirWay == 0) {
        progressMs = now; // waiting for input is no lack of progress
      }
      wait(100);
    }
  }

  private Job take(Channel channel, long now) {
    Job job = again.poll();
    if (job != null) {
      count("published again");
    } else {
      job = input.poll();
    }
    job.publishedMs = now;
    // Before it is published: confirm and answer may come at once.
    unconfirmed.put(channel.getNextPublishSeqNo(), job);
    if (replyTo != null && !job.answered) {
      unanswered.put(job.messageId, job);
    }
    notifyAll();
    return job;
  }

  /** No queue took it. This comes *before* the ack, so an ack alone proves nothing. */
  private synchronized void onReturn(Return message) {
    String messageId = message.getProperties().getMessageId();
    String reason = message.getReplyCode() + " " + message.getReplyText();
    for (Job job : unconfirmed.values()) {
      if (job.messageId.equals(messageId)) {
        job.returned = true;
        System.err.println(job.number + ": returned, " + job.routingKey + ": " + reason);
      }
    }
  }

  private synchronized void onConfirm(long tag, boolean multiple) {
    var confirmed = multiple ? unconfirmed.headMap(tag, true) : unconfirmed.subMap(tag, tag + 1);
    for (Job job : confirmed.values()) {
      count(job.returned ? "returned" : "confirmed");
      if (job.returned) {
        unanswered.remove(job.messageId);
      }
    }
    confirmed.clear(); // a view: they leave the map
    failures = 0;
    progressMs = System.currentTimeMillis();
    notifyAll();
  }

  private synchronized void onAnswer(Delivery answer) throws IOException {
    JsonNode data = JSON.readTree(answer.getBody()).path("data");
    String result = data.path("result").asText();
    // Anything else, `unresolved` above all, is not the last word. But a query has no other.
    if (!TERMINAL.contains(result) && !data.path("kind").asText().equals("query")) {
      return;
    }
    Job job = unanswered.remove(answer.getProperties().getCorrelationId());
    if (job != null) {
      job.answered = true;
      count("answered");
      progressMs = System.currentTimeMillis();
      System.out.println(JSON.createObjectNode().put("number", job.number).put("result", result));
      notifyAll();
    }
  }

  private synchronized int report() {
    boolean waits = waitsForAnswers();
    boolean finished = isFinished();
    publishAgain();
    var list = new StringBuilder();
    counts.forEach((name, count) -> list.append(name).append(' ').append(count).append(", "));
    System.err.println(list + "left " + (again.size() + input.size()));
    if (waits) {
      // No answer says nothing about the money. Ask again with the same job, or read the outcome
      // where all outcomes are: in a subscriber's queue.
      return 1;
    }
    if (!finished) {
      if (!inputEnded) {
        System.err.println("the input was not read to its end");
      }
      return 69;
    }
    return counts.get("returned") + counts.get("unreadable") > 0 ? 1 : 0;
  }

  /** `--name value`; only `--urgent` has no value. */
  private static final class Options {
    private static final Map<String, String> DEFAULTS =
        Map.of(
            "amqp", "amqp://guest:guest@localhost:5672/%2f",
            "prefix", "hongbao", // the daemon's rabbitmq.prefix
            "shards", "1", // the daemon's rabbitmq.shards
            "wait", "0", // seconds without an outcome that may pass
            "patience", "60"); // seconds without a confirm that may pass
    private static final List<String> ONE_JOB = List.of("out-request-no", "packet", "payee", "fen");

    private final Map<String, String> given = new LinkedHashMap<>(DEFAULTS);

    Options(String[] arguments) {
      for (int at = 0; at < arguments.length; at++) {
        String name = arguments[at].replaceFirst("^--", "");
        boolean isKnown =
            DEFAULTS.containsKey(name) || ONE_JOB.contains(name) || name.equals("file");
        if (name.equals("urgent")) {
          given.put(name, "");
        } else if (isKnown && at + 1 < arguments.length) {
          given.put(name, arguments[++at]);
        } else {
          throw new IllegalArgumentException("what is " + arguments[at] + "?");
        }
      }
      if (!has("file") && !given.keySet().containsAll(ONE_JOB)) {
        throw new IllegalArgumentException(
            "give --file, or all of --out-request-no, --packet, --payee and --fen");
      }
      number("wait");
      number("patience");
      if (number("shards") < 1 || (has("fen") && number("fen") < 1)) {
        throw new IllegalArgumentException("--shards and --fen are at least 1");
      }
    }

    boolean has(String name) {
      return given.containsKey(name);
    }

    String text(String name) {
      return given.get(name);
    }

    long number(String name) {
      return Long.parseLong(given.get(name));
    }
  }

  public static void main(String[] arguments) throws Exception {
    Options options = null;
    try {
      options = new Options(arguments);
    } catch (IllegalArgumentException e) {
      System.err.println(e.getMessage());
      System.exit(64);
    }
    System.exit(new Producer(options).run());
  }
}
