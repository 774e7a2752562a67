// Subscriber works each outcome of hongbaod once, however often it comes; the rules are in
// docs/clients.md.
//
// It prints what it did as NDJSON, and its counts at the end (SIGTERM or SIGINT).
// Exit codes: 0 stopped, 64 usage, 74 the store cannot be written.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Events that are sent ahead of their acknowledgement: bounds memory and what comes again.
const prefetch = 50

// All about jobs' money. A queue gets what its bindings name, and nothing else.
const bindings = "succeeded,failed,rejected,signed,unresolved,contradicted"

var eventType = regexp.MustCompile(`^hongbao\.([a-z_]+)\.([a-z_]+)\.v([0-9]+)$`)

var jitter = rand.New(rand.NewSource(time.Now().UnixNano()))

// event has the parts that are needed. Fields that are not known here are none of our business.
type event struct {
	SpecVersion string `json:"specversion"`
	ID          string `json:"id"`
	Type        string `json:"type"`
	Data        struct {
		Number string  `json:"out_request_no"`
		Reason string  `json:"reason"`
		Amount *string `json:"amount"`
	} `json:"data"`

	kind, result string
}

// readEvent fails on what will never be understood, however often it is delivered.
func readEvent(body []byte) (*event, error) {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	parts := eventType.FindStringSubmatch(e.Type)
	// Another number means that old readers could misread it: not for guessing.
	if e.SpecVersion != "1.0" || parts == nil || parts[3] != "1" {
		return nil, fmt.Errorf("version %q, type %q", e.SpecVersion, e.Type)
	}
	if e.ID == "" || e.Data.Number == "" {
		return nil, errors.New("no id or no number")
	}
	e.kind, e.result = parts[1], parts[2]
	return &e, nil
}

// meaning is what the event means for the order. Empty: nothing to us.
func (e *event) meaning() string {
	switch e.result {
	case "succeeded":
		return "done"
	case "failed":
		return "not done"
	case "rejected":
		// Nothing was sent, and the number is settled. Any other reason (conflict, invalid) is about
		// a message that was refused: the number itself may well be paid. So are words to come.
		if e.Data.Reason == "expired" || e.Data.Reason == "over_budget" {
			return "not done"
		}
		return "look"
	case "signed":
		return "to be paid"
	case "unresolved":
		// Not terminal. Nobody knows yet: the money may have moved. Neither pay by other means nor
		// give it back; the last word follows.
		return "wait"
	case "contradicted":
		// Not terminal, either: the outcome that was told stands, and a person has to look.
		return "look"
	}
	return ""
}

type row struct {
	ID     string  `json:"id"`
	What   string  `json:"what"`
	Kind   string  `json:"kind"`
	Number string  `json:"number"`
	Amount *string `json:"amount"`
}

// store knows which events were worked, and what came of them.
//
// One line of its file is both, so neither exists without the other. In production it is the database
// that holds the orders, and one transaction: INSERT the id (a primary key; if it is there already,
// the event is a copy), UPDATE the order, COMMIT. Keep ids for longer than the daemon's
// `ledger.retention`.
type store struct {
	file *os.File
	ids  map[string]bool
}

func openStore(path string) (*store, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if whole < len(text) {
		// A crash may leave half a line: that event was not worked.
		if err := file.Truncate(int64(whole)); err != nil {
			return nil, err
		}
	}
	s := &store{file, map[string]bool{}}
	rows := json.NewDecoder(bytes.NewReader(text[:whole]))
	for rows.More() {
		var r row
		if err := rows.Decode(&r); err != nil {
			return nil, err
		}
		s.ids[r.ID] = true
	}
	return s, nil
}

// work returns false if the event was worked before.
func (s *store) work(r row, line []byte) (bool, error) {
	if s.ids[r.ID] {
		return false, nil
	}
	if _, err := s.file.Write(append(line, '\n')); err != nil {
		return false, err
	}
	if err := s.file.Sync(); err != nil {
		return false, err
	}
	s.ids[r.ID] = true
	return true, nil
}

// storeError ends the program; an error of the connection does not.
type storeError struct{ error }

type subscriber struct {
	amqp, prefix, queue, bind string
	store                     *store
	stopping                  chan os.Signal
	failures                  uint

	worked, copies, ignored, poison int
}

func (s *subscriber) run() error {
	for {
		err := s.live()
		if err == nil {
			break
		}
		if broken := (storeError{}); errors.As(err, &broken) {
			return broken
		}
		log.Printf("connection: %v", err)
		// Full jitter: a hundred services that lost one broker do not come back at once.
		ceiling := 100 * time.Millisecond << s.failures
		if ceiling > 5*time.Second {
			ceiling = 5 * time.Second
		} else {
			s.failures++
		}
		select {
		case <-s.stopping:
			return nil
		case <-time.After(time.Duration(jitter.Int63n(int64(ceiling)))):
		}
	}
	return nil
}

// live is one connection, from its opening to its end. Nil: we were asked to stop.
func (s *subscriber) live() error {
	connection, err := amqp.DialConfig(s.amqp, amqp.Config{Heartbeat: 10 * time.Second, Locale: "en_US"})
	if err != nil {
		return err
	}
	// What was not acknowledged comes again once the connection is closed.
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	if err := s.declare(channel); err != nil {
		return err
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := channel.Consume(s.queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for {
		select {
		case <-s.stopping:
			return nil
		case delivery, open := <-deliveries:
			if !open {
				// The connection is gone, or the broker has ended the consumer: the queue was deleted.
				select {
				case err := <-closed:
					return err
				default:
					return errors.New("the queue was deleted, or moved")
				}
			}
			s.failures = 0
			if err := s.handle(delivery); err != nil {
				return err
			}
		}
	}
}

// declare makes a queue of our own that keeps the events while we are away, and one for poison. The
// exchange is the daemon's to declare. Until it has, the binding fails, and we try again.
func (s *subscriber) declare(channel *amqp.Channel) error {
	dead := s.queue + ".dead"
	quorum := amqp.Table{"x-queue-type": "quorum"}
	if _, err := channel.QueueDeclare(dead, true, false, false, false, quorum); err != nil {
		return err
	}
	arguments := amqp.Table{
		"x-queue-type":              "quorum",
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": dead,
		// Moved with confirms, which asks for this overflow; the queue has no limit, so it never
		// refuses anything.
		"x-dead-letter-strategy": "at-least-once",
		"x-overflow":             "reject-publish",
		// An event that kills us each time does not do it for ever.
		"x-delivery-limit": int32(20),
	}
	if _, err := channel.QueueDeclare(s.queue, true, false, false, false, arguments); err != nil {
		return err
	}
	for _, result := range strings.Split(s.bind, ",") {
		if err := channel.QueueBind(s.queue, "*."+result, s.prefix+".outcomes", false, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *subscriber) handle(delivery amqp.Delivery) error {
	e, err := readEvent(delivery.Body)
	if err != nil {
		s.poison++
		log.Printf("set aside: %v", err)
		// To the dead letters, where a person looks. Requeued, it would come at once, for ever.
		return delivery.Reject(false)
	}
	if what := e.meaning(); what == "" {
		s.ignored++
		log.Printf("ignored: %s.%s", e.kind, e.result)
	} else if err := s.work(e, what); err != nil {
		return storeError{err} // then there is no acknowledgement, and the event comes again
	}
	// Last. Acknowledged first, an event would be lost by a crash in between.
	return delivery.Ack(false)
}

func (s *subscriber) work(e *event, what string) error {
	r := row{e.ID, what, e.kind, e.Data.Number, e.Data.Amount}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	isNew, err := s.store.work(r, line)
	switch {
	case err != nil:
		return err
	case isNew:
		s.worked++
		fmt.Println(string(line))
	default:
		s.copies++
	}
	return nil
}

func main() {
	log.SetFlags(0)
	s := subscriber{stopping: make(chan os.Signal, 1)}
	flags := flag.NewFlagSet("subscriber", flag.ContinueOnError)
	flags.StringVar(&s.amqp, "amqp", "amqp://guest:guest@localhost:5672/%2f", "the broker")
	flags.StringVar(&s.prefix, "prefix", "hongbao", "the daemon's rabbitmq.prefix")
	flags.StringVar(&s.queue, "queue", "orders.outcomes", "a name of your service's own")
	flags.StringVar(&s.bind, "bind", bindings, "results, separated by commas")
	path := flags.String("store", "", "a file")
	if err := flags.Parse(os.Args[1:]); err != nil {
		os.Exit(64)
	}
	if *path == "" {
		log.Print("-store is missing")
		os.Exit(64)
	}
	signal.Notify(s.stopping, syscall.SIGTERM, syscall.SIGINT)
	var err error
	if s.store, err = openStore(*path); err == nil {
		err = s.run()
	}
	if err != nil {
		log.Printf("the store: %v", err)
		os.Exit(74)
	}
	log.Printf("worked %d, copies %d, ignored %d, poison %d", s.worked, s.copies, s.ignored, s.poison)
}
