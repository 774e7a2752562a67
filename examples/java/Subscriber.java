import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.EOFException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Works each outcome of hongbaod once, however often it comes; the rules are in docs/clients.md.
 *
 * <p>Prints what it did as NDJSON, and its counts at the end (SIGTERM or SIGINT). Exit codes: 143 or
 * 130 stopped, as the JVM has it, 64 usage, 74 the store cannot be written.
 */
final class Subscriber {
  /** Events that are sent ahead of their acknowledgement: bounds memory and what comes again. */
  private static final int PREFETCH = 50;

  /** All about jobs' money. A queue gets what its bindings name, and nothing else. */
  private static final String BINDINGS = "succeeded,failed,rejected,signed,unresolved,contradicted";

  private static final Pattern TYPE =
      Pattern.compile("hongbao\\.([a-z_]+)\\.([a-z_]+)\\.v([0-9]+)");
  private static final ObjectMapper JSON = new ObjectMapper();

  /** What the inbox holds when nothing will come any more. */
  private static final Delivery END = new Delivery(null, null, null);

  /** An event that will never be understood, however often it is delivered. */
  private static final class Poison extends Exception {
    Poison(String message) {
      super(message);
    }
  }

  /** The parts that are needed. Fields that are not known here are none of our business. */
  private record Event(String id, String kind, String result, JsonNode data) {
    static Event read(byte[] body) throws Poison {
      JsonNode event;
      try {
        event = JSON.readTree(body);
      } catch (IOException e) {
        throw new Poison("no JSON: " + e.getMessage());
      }
      String version = event.path("specversion").asText();
      Matcher type = TYPE.matcher(event.path("type").asText());
      // Another number means that old readers could misread it: not for guessing.
      if (!version.equals("1.0") || !type.matches() || !type.group(3).equals("1")) {
        throw new Poison("version " + version + ", type " + event.path("type"));
      }
      JsonNode data = event.path("data");
      if (!event.path("id").isTextual() || !data.path("out_request_no").isTextual()) {
        throw new Poison("no id or no number");
      }
      return new Event(event.path("id").asText(), type.group(1), type.group(2), data);
    }

    String number() {
      return data.path("out_request_no").asText();
    }

    /** What the event means for the order. Empty: nothing to us. */
    Optional<String> meaning() {
      return switch (result) {
        case "succeeded" -> Optional.of("done");
        case "failed" -> Optional.of("not done");
        // Nothing was sent, and the number is settled. Any other reason (conflict, invalid) is about
        // a message that was refused: the number itself may well be paid. So are words to come.
        case "rejected" -> {
          boolean isOwn = Set.of("expired", "over_budget").contains(data.path("reason").asText());
          yield Optional.of(isOwn ? "not done" : "look");
        }
        case "signed" -> Optional.of("to be paid");
        // Not terminal. Nobody knows yet: the money may have moved. Neither pay by other means nor
        // give it back; the last word follows.
        case "unresolved" -> Optional.of("wait");
        // Not terminal, either: the outcome that was told stands, and a person has to look.
        case "contradicted" -> Optional.of("look");
        default -> Optional.empty();
      };
    }
  }

  /** Ends the program; an error of the connection does not. */
  private static final class StoreException extends Exception {
    StoreException(IOException cause) {
      super(cause);
    }
  }

  /**
   * Which events were worked, and what came of them.
   *
   * <p>One line of its file is both, so neither exists without the other. In production it is the
   * database that holds the orders, and one transaction: INSERT the id (a primary key; if it is
   * there already, the event is a copy), UPDATE the order, COMMIT. Keep ids for longer than the
   * daemon's `ledger.retention`.
   */
  private static final class Store {
    private final RandomAccessFile file;
    private final Set<String> ids = new HashSet<>();

    Store(String path) throws IOException {
      file = new RandomAccessFile(path, "rw");
      byte[] bytes = new byte[Math.toIntExact(file.length())];
      file.readFully(bytes);
      int begin = 0;
      for (int at = 0; at < bytes.length; at++) {
        if (bytes[at] == '\n') {
          ids.add(JSON.readTree(bytes, begin, at - begin).path("id").asText());
          begin = at + 1;
        }
      }
      // A crash may leave half a line: that event was not worked.
      file.setLength(begin);
      file.seek(begin);
    }

    /** False if the event was worked before. */
    boolean work(String id, String line) throws StoreException {
      if (ids.contains(id)) {
        return false;
      }
      try {
        file.write((line + "\n").getBytes(StandardCharsets.UTF_8));
        file.getFD().sync();
      } catch (IOException e) {
        throw new StoreException(e);
      }
      ids.add(id);
      return true;
    }
  }

  private final Map<String, String> options;
  private final Store store;
  private final Map<String, Integer> counts = new LinkedHashMap<>();
  private volatile boolean stopping;
  private int failures;

  private Subscriber(Map<String, String> options) throws IOException {
    this.options = options;
    store = new Store(options.get("store"));
    for (String name : new String[] {"worked", "copies", "ignored", "poison"}) {
      counts.put(name, 0);
    }
  }

  private void count(String name) {
    counts.merge(name, 1, Integer::sum);
  }

  private void run() throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(options.get("amqp"));
    factory.setRequestedHeartbeat(10);
    // One way to begin, after the first start and after a break: live() declares all it needs.
    factory.setAutomaticRecoveryEnabled(false);
    while (!stopping) {
      try {
        live(factory);
      } catch (IOException | ShutdownSignalException | TimeoutException e) {
        System.err.println("connection: " + (e.getCause() != null ? e.getCause() : e));
        // Full jitter: a hundred services that lost one broker do not come back at once.
        long ceiling = Math.min(5000, 100L << failures);
        failures = Math.min(failures + 1, 10);
        Thread.sleep(ThreadLocalRandom.current().nextLong(ceiling));
      }
    }
    var list = new StringBuilder();
    counts.forEach((name, count) -> list.append(", ").append(name).append(' ').append(count));
    System.err.println(list.substring(2));
  }

  /** One connection, from its opening to its end. Returns when we are asked to stop. */
  private void live(ConnectionFactory factory) throws Exception {
    Connection connection = factory.newConnection("example subscriber");
    try {
      Channel channel = connection.createChannel();
      declare(channel);
      channel.basicQos(PREFETCH);
      // The client's threads hand over, this one works; no longer than the prefetch.
      BlockingQueue<Delivery> inbox = new LinkedBlockingQueue<>();
      channel.addShutdownListener(cause -> inbox.add(END));
      // Cancelled by the broker: the queue was deleted, or moved.
      String queue = options.get("queue");
      channel.basicConsume(
          queue, (tag, delivery) -> inbox.add(delivery), tag -> inbox.add(END));
      while (!stopping) {
        Delivery delivery = inbox.poll(200, TimeUnit.MILLISECONDS);
        if (delivery == END) {
          throw new EOFException("the consumer ended");
        }
        if (delivery != null) {
          handle(channel, delivery);
          failures = 0;
        }
      }
    } finally {
      // What was not acknowledged comes again.
      connection.abort(1000);
    }
  }

  /**
   * A queue of our own that keeps the events while we are away, and one for poison. The exchange is
   * the daemon's to declare. Until it has, the binding fails, and we try again.
   */
  private void declare(Channel channel) throws IOException {
    String queue = options.get("queue");
    String dead = queue + ".dead";
    channel.queueDeclare(dead, true, false, false, Map.of("x-queue-type", "quorum"));
    Map<String, Object> arguments = new HashMap<>();
    arguments.put("x-queue-type", "quorum");
    arguments.put("x-dead-letter-exchange", "");
    arguments.put("x-dead-letter-routing-key", dead);
    // Moved with confirms, which asks for this overflow; the queue has no limit, so it never
    // refuses anything.
    arguments.put("x-dead-letter-strategy", "at-least-once");
    arguments.put("x-overflow", "reject-publish");
    // An event that kills us each time does not do it for ever.
    arguments.put("x-delivery-limit", 20);
    channel.queueDeclare(queue, true, false, false, arguments);
    for (String result : options.get("bind").split(",")) {
      channel.queueBind(queue, options.get("prefix") + ".outcomes", "*." + result);
    }
  }

  private void handle(Channel channel, Delivery delivery) throws IOException, StoreException {
    long tag = delivery.getEnvelope().getDeliveryTag();
    Event event;
    try {
      event = Event.read(delivery.getBody());
    } catch (Poison e) {
      count("poison");
      System.err.println("set aside: " + e.getMessage());
      // To the dead letters, where a person looks. Requeued, it would come at once, for ever.
      channel.basicReject(tag, false);
      return;
    }
    Optional<String> what = event.meaning();
    if (what.isPresent()) {
      work(event, what.get()); // if it throws, there is no acknowledgement, and it comes again
    } else {
      count("ignored");
      System.err.println("ignored: " + event.kind() + "." + event.result());
    }
    // Last. Acknowledged first, an event would be lost by a crash in between.
    channel.basicAck(tag, false);
  }

  private void work(Event event, String what) throws StoreException {
    ObjectNode row = JSON.createObjectNode();
    row.put("id", event.id()).put("what", what).put("kind", event.kind());
    row.put("number", event.number()).set("amount", event.data().get("amount"));
    boolean isNew = store.work(event.id(), row.toString());
    count(isNew ? "worked" : "copies");
    if (isNew) {
      System.out.println(row);
    }
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> options = new HashMap<>();
    options.put("amqp", "amqp://guest:guest@localhost:5672/%2f");
    options.put("prefix", "hongbao"); // the daemon's rabbitmq.prefix
    options.put("queue", "orders.outcomes"); // a name of your service's own
    options.put("bind", BINDINGS); // results, separated by commas
    options.put("store", null); // a file
    for (int at = 0; at < arguments.length; at += 2) {
      String name = arguments[at].replaceFirst("^--", "");
      if (!options.containsKey(name) || at + 1 == arguments.length) {
        System.err.println("what is " + arguments[at] + "?");
        System.exit(64);
      }
      options.put(name, arguments[at + 1]);
    }
    if (options.get("store") == null) {
      System.err.println("--store is missing");
      System.exit(64);
    }
    try {
      Subscriber subscriber = new Subscriber(options);
      Thread main = Thread.currentThread();
      Thread stop = new Thread(() -> subscriber.stop(main));
      Runtime.getRuntime().addShutdownHook(stop);
      subscriber.run();
    } catch (IOException | StoreException e) {
      System.err.println("the store: " + e.getMessage());
      Runtime.getRuntime().halt(74); // not exit(): the hook would wait for this thread
    }
  }

  /** What SIGTERM begins: what is under way is finished. */
  private void stop(Thread main) {
    stopping = true;
    try {
      main.join(10_000);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
