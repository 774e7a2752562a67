// Producer publishes jobs for hongbaod, each until the broker confirms it; the rules are in
// docs/clients.md.
//
// A job comes from flags, or many from NDJSON (-file, `-` is the standard input). With -wait, the
// outcomes come back to a queue of this program's own and are printed.
// Exit codes: 0 all confirmed (and answered), 1 something is not, 64 usage, 69 no broker.
package main

import (
	"bufio"
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"math/rand"
	"os"
	"sort"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// Jobs on their way at a time. It bounds memory, and what has to be published again after a break.
	window = 256
	// A confirm that takes longer is not waited for: the connection counts as broken.
	confirmMax = 30 * time.Second
)

var terminal = map[string]bool{
	"succeeded": true, "failed": true, "rejected": true, "signed": true, "found": true, "not_found": true,
}

var jitter = rand.New(rand.NewSource(time.Now().UnixNano()))

type options struct {
	amqp, prefix, file, number, packet, payee string
	shards                                    uint
	fen                                       uint64
	urgent                                    bool
	wait, patience                            time.Duration
}

// A job is one message. It stays as it is however often it is published: same body, same numbers.
type job struct {
	number, routingKey string
	body               []byte
	// For a query it is part of the event's id, so each has its own, and a repetition the same one.
	messageID   string
	created     time.Time
	traceparent string

	published          time.Time
	returned, answered bool
}

// Money is an integer of fen until it becomes a text. It is never a float.
func yuan(fen uint64) string {
	return fmt.Sprintf("%d.%02d", fen/100, fen%100)
}

func disburse(o options) []byte {
	body, err := json.Marshal(map[string]string{
		"kind": "disburse",
		// Equal numbers: then not even a lost ledger lets a job be paid twice.
		"out_request_no":      o.number,
		"out_order_no":        o.number,
		"deduct_out_order_no": o.packet,
		"order_title":         "Lucky money",
		"amount":              yuan(o.fen),
		"payee_user_id":       o.payee,
	})
	if err != nil {
		panic(err) // a map of texts can always be written
	}
	return body
}

// routingKey is the kind, or the lane for urgent jobs, or one of the shards of the normal lane.
func routingKey(kind, number string, o options) string {
	manifold := kind == "disburse" || kind == "pay"
	if o.urgent && manifold {
		return kind + ".urgent"
	}
	// A number goes to the same shard each time. Any other shard would be right, too.
	shard := crc32.ChecksumIEEE([]byte(number)) % uint32(o.shards)
	if shard > 0 && (manifold || kind == "refund") {
		return fmt.Sprintf("%s.%d", kind, shard)
	}
	return kind
}

// readJob reads only what is needed to send it: the daemon checks the rest, and says what is wrong.
func readJob(body []byte, o options) (*job, error) {
	var head struct {
		Kind   string `json:"kind"`
		Number string `json:"out_request_no"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, err
	}
	traceparent := os.Getenv("TRACEPARENT")
	if traceparent == "" { // In a service: of the span in which the job arises.
		traceparent = fmt.Sprintf("00-%s-%s-01", randomHex(16), randomHex(8))
	}
	return &job{
		number: head.Number, routingKey: routingKey(head.Kind, head.Number, o), body: body,
		messageID: randomHex(16), created: time.Now(), traceparent: traceparent,
	}, nil
}

func randomHex(length int) string {
	random := make([]byte, length)
	if _, err := crand.Read(random); err != nil {
		panic(err) // a system without randomness
	}
	return fmt.Sprintf("%x", random)
}

// input is what was read: a job, or why a line is none.
type input struct {
	job *job
	err error
}

// readJobs reads ahead, no further than the channel holds, and closes it at the end.
func readJobs(o options, jobs chan<- input) {
	defer close(jobs)
	if o.file == "" {
		j, err := readJob(disburse(o), o)
		jobs <- input{j, err}
		return
	}
	file := os.Stdin
	if o.file != "-" {
		var err error
		if file, err = os.Open(o.file); err != nil {
			jobs <- input{nil, err}
			return
		}
		defer file.Close()
	}
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			j, err := readJob(bytes.TrimSpace(line), o)
			jobs <- input{j, err}
		}
		if err != nil {
			if err != io.EOF {
				jobs <- input{nil, err}
			}
			return
		}
	}
}

// producer is used by one goroutine, so nothing in it is locked.
type producer struct {
	options
	input       chan input
	inputEnded  bool
	again       []*job          // to be published again, the oldest first
	unconfirmed map[uint64]*job // by delivery tag, on this connection
	unanswered  map[string]*job // by correlation id, with -wait
	replyTo     string
	tag         uint64
	failures    uint
	progress    time.Time

	confirmed, returned, unreadable, answeredCount, repetitions int
}

func (p *producer) run() int {
	go readJobs(p.options, p.input)
	for !p.finished() {
		err := p.live()
		if err == nil {
			break
		}
		log.Printf("connection: %v", err)
		p.publishAgain()
		if p.outOfPatience() {
			break
		}
		// Full jitter: a thousand producers that lost one broker do not come back at once.
		ceiling := 100 * time.Millisecond << p.failures
		if ceiling > 5*time.Second {
			ceiling = 5 * time.Second
		} else {
			p.failures++
		}
		time.Sleep(time.Duration(jitter.Int63n(int64(ceiling))))
	}
	return p.report()
}

func (p *producer) finished() bool {
	return p.inputEnded && len(p.again)+len(p.unconfirmed)+len(p.unanswered) == 0
}

func (p *producer) waitsForAnswers() bool {
	return p.inputEnded && len(p.again)+len(p.unconfirmed) == 0 && len(p.unanswered) > 0
}

func (p *producer) outOfPatience() bool {
	limit := p.patience
	if p.waitsForAnswers() {
		limit = p.wait
	}
	return time.Since(p.progress) > limit
}

// publishAgain moves what is open to the front. Nobody knows what became of the unconfirmed ones, so
// they are published again: the same number with the same content is the same job. The unanswered
// ones, too: their answers would go to a queue that ended with the connection, and a job that was
// settled is told again to whoever asks.
func (p *producer) publishAgain() {
	again := []*job{}
	for _, j := range p.unconfirmed {
		again = append(again, j)
		delete(p.unanswered, j.messageID) // so that no job is in the list twice
	}
	for _, j := range p.unanswered {
		again = append(again, j)
	}
	sort.Slice(again, func(a, b int) bool { return again[a].published.Before(again[b].published) })
	p.again = append(again, p.again...)
	p.unconfirmed, p.unanswered = map[uint64]*job{}, map[string]*job{}
}

// live is one connection, from its opening to its end. Nil: there is nothing left to wait for.
func (p *producer) live() error {
	connection, err := amqp.DialConfig(p.amqp, amqp.Config{Heartbeat: 10 * time.Second, Locale: "en_US"})
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	// Not buffered: a return is in our hands before the library reads the ack that follows it.
	returns := channel.NotifyReturn(make(chan amqp.Return))
	defer func() { // the library must not wait for us while it closes
		go func() {
			for range returns {
			}
		}()
	}()
	// Buffered for the whole window: the library must never wait here while we publish.
	confirms := channel.NotifyPublish(make(chan amqp.Confirmation, window))
	if err := channel.Confirm(false); err != nil {
		return err
	}
	p.tag, p.replyTo = 0, ""
	answers, err := p.listen(channel)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for !p.finished() {
		if err := p.publishRepeated(channel); err != nil {
			return err
		}
		jobs := p.input
		if p.windowIsFull() || p.inputEnded {
			jobs = nil // never ready
		}
		select {
		case next, more := <-jobs:
			if err := p.take(channel, next, more); err != nil {
				return err
			}
		case message := <-returns:
			p.onReturn(message)
		case confirmation, open := <-confirms:
			if !open {
				return fmt.Errorf("closed: %v", <-closed)
			}
			if !confirmation.Ack {
				return errors.New("nack: the broker could not keep a job") // it goes again after a wait
			}
			p.onConfirm(confirmation.DeliveryTag)
		case answer, open := <-answers:
			if !open {
				return fmt.Errorf("closed: %v", <-closed)
			}
			p.onAnswer(answer)
		case <-ticker.C:
			if p.waitsForAnswers() && p.outOfPatience() {
				return nil
			}
			if p.isLate() {
				return errors.New("no confirm")
			}
		}
	}
	return nil
}

// listen opens a queue for the answers. It is exclusive: it ends with this connection.
func (p *producer) listen(channel *amqp.Channel) (<-chan amqp.Delivery, error) {
	if p.wait == 0 {
		return nil, nil
	}
	queue, err := channel.QueueDeclare("", false, false, true, false, nil)
	if err != nil {
		return nil, err
	}
	p.replyTo = queue.Name
	return channel.Consume(queue.Name, "", true, true, false, false, nil)
}

func (p *producer) windowIsFull() bool {
	if p.replyTo != "" && len(p.unanswered) >= window {
		return true
	}
	return len(p.unconfirmed) >= window
}

func (p *producer) isLate() bool {
	if len(p.unconfirmed)+len(p.unanswered) == 0 {
		p.progress = time.Now() // waiting for input is no lack of progress
	}
	for _, j := range p.unconfirmed {
		if time.Since(j.published) > confirmMax {
			return true
		}
	}
	return false
}

func (p *producer) publishRepeated(channel *amqp.Channel) error {
	for len(p.again) > 0 && !p.windowIsFull() {
		j := p.again[0]
		p.again = p.again[1:]
		p.repetitions++
		if err := p.publish(channel, j); err != nil {
			return err
		}
	}
	return nil
}

func (p *producer) take(channel *amqp.Channel, next input, more bool) error {
	switch {
	case !more:
		p.inputEnded = true
	case next.err != nil:
		p.unreadable++
		log.Printf("%v: not sent", next.err)
	default:
		return p.publish(channel, next.job)
	}
	return nil
}

func (p *producer) publish(channel *amqp.Channel, j *job) error {
	j.published = time.Now()
	p.tag++
	p.unconfirmed[p.tag] = j
	// Before it is published: an answer may be faster than the confirm.
	if p.replyTo != "" && !j.answered {
		p.unanswered[j.messageID] = j
	}
	message := amqp.Publishing{
		ContentType:   "application/json",
		DeliveryMode:  amqp.Persistent,
		MessageId:     j.messageID,
		CorrelationId: j.messageID,
		ReplyTo:       p.replyTo,
		Timestamp:     j.created,
		Headers: amqp.Table{
			"traceparent": j.traceparent,
			// AMQP's timestamp knows whole seconds only.
			"x-hongbao-published-ms": j.created.UnixMilli(),
		},
		Body: j.body,
	}
	const mandatory, immediate = true, false
	return channel.PublishWithContext(context.Background(), p.prefix+".jobs", j.routingKey, mandatory, immediate, message)
}

// onReturn: no queue took it. This comes before the ack, so an ack alone proves nothing.
func (p *producer) onReturn(message amqp.Return) {
	for _, j := range p.unconfirmed {
		if j.messageID == message.MessageId {
			j.returned = true
			log.Printf("%s: returned, %s: %d %s", j.number, j.routingKey, message.ReplyCode, message.ReplyText)
		}
	}
}

// onConfirm has one tag: the library takes "multiple" apart.
func (p *producer) onConfirm(tag uint64) {
	j := p.unconfirmed[tag]
	delete(p.unconfirmed, tag)
	p.failures, p.progress = 0, time.Now()
	if j.returned {
		p.returned++
		delete(p.unanswered, j.messageID)
	} else {
		p.confirmed++
	}
}

func (p *producer) onAnswer(answer amqp.Delivery) {
	var event struct {
		Data struct{ Kind, Result string }
	}
	if err := json.Unmarshal(answer.Body, &event); err != nil {
		log.Printf("an answer that cannot be read: %v", err)
		return
	}
	// Anything else, `unresolved` above all, is not the last word. But a query has no other.
	if !terminal[event.Data.Result] && event.Data.Kind != "query" {
		return
	}
	j, found := p.unanswered[answer.CorrelationId]
	if !found {
		return
	}
	delete(p.unanswered, answer.CorrelationId)
	j.answered = true
	p.answeredCount++
	p.progress = time.Now()
	line, _ := json.Marshal(map[string]string{"number": j.number, "result": event.Data.Result})
	fmt.Println(string(line))
}

func (p *producer) report() int {
	waits, finished := p.waitsForAnswers(), p.finished()
	p.publishAgain()
	log.Printf("confirmed %d, returned %d, unreadable %d, answered %d, published again %d, left %d",
		p.confirmed, p.returned, p.unreadable, p.answeredCount, p.repetitions, len(p.again))
	switch {
	case waits:
		// No answer says nothing about the money. Ask again with the same job, or read the outcome
		// where all outcomes are: in a subscriber's queue.
		return 1
	case !finished:
		if !p.inputEnded {
			log.Print("the input was not read to its end")
		}
		return 69
	case p.returned+p.unreadable > 0:
		return 1
	}
	return 0
}

func main() {
	log.SetFlags(0)
	var o options
	flags := flag.NewFlagSet("producer", flag.ContinueOnError)
	flags.StringVar(&o.amqp, "amqp", "amqp://guest:guest@localhost:5672/%2f", "the broker")
	flags.StringVar(&o.prefix, "prefix", "hongbao", "the daemon's rabbitmq.prefix")
	flags.UintVar(&o.shards, "shards", 1, "the daemon's rabbitmq.shards")
	flags.BoolVar(&o.urgent, "urgent", false, "overtake the others of the kind")
	wait := flags.Uint("wait", 0, "seconds without an outcome that may pass")
	patience := flags.Uint("patience", 60, "seconds without a confirm that may pass")
	flags.StringVar(&o.file, "file", "", "NDJSON, one job a line; - is the standard input")
	flags.StringVar(&o.number, "out-request-no", "", "the number of one job")
	flags.StringVar(&o.packet, "packet", "", "the out_order_no of the packet that pays")
	flags.StringVar(&o.payee, "payee", "", "the payee's user id")
	flags.Uint64Var(&o.fen, "fen", 0, "the amount")
	if err := flags.Parse(os.Args[1:]); err != nil {
		os.Exit(64)
	}
	if o.shards == 0 || (o.file == "" && (o.number == "" || o.packet == "" || o.payee == "" || o.fen == 0)) {
		log.Print("give -file, or all of -out-request-no, -packet, -payee and -fen; -shards is at least 1")
		os.Exit(64)
	}
	o.wait, o.patience = time.Duration(*wait)*time.Second, time.Duration(*patience)*time.Second
	p := producer{
		options: o, input: make(chan input, window), progress: time.Now(),
		unconfirmed: map[uint64]*job{}, unanswered: map[string]*job{},
	}
	os.Exit(p.run())
}
