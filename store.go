package riposte

import (
	"context"
	"time"
)

// Store keeps everything that must survive. Each method that changes something
// returns after its commit is on disk. Besides the errors named at each method,
// all return ErrUnavailable when nothing was committed and a later try may
// succeed, and ctx's error when ctx ended first; a change may then have been
// committed or not.
type Store interface {
	WebhookStore
	InstanceStore
	FeedStore
	ConsumerStore
	StatisticsStore
	KeyStore
	ClientStore
	SecretStore
	AuditStore

	// Now is the clock that decides due, lease and expiry.
	Now() time.Time
	// Check says whether the store can commit: nil, or why not.
	Check(ctx context.Context) error
	// Close waits for what is under way. Nothing may be called afterwards.
	Close() error
}

// WebhookStore keeps webhooks. Deleted ones stay until their last instance has
// been purged.
type WebhookStore interface {
	// SaveWebhook stores a new webhook (Version 0) or replaces the one whose
	// version it carries, and returns it with its new version.
	// ErrConflict, ErrWebhookNotFound.
	SaveWebhook(ctx context.Context, w Webhook) (Webhook, error)
	// LoadWebhook returns deleted ones too. ErrWebhookNotFound.
	LoadWebhook(ctx context.Context, id string) (Webhook, error)
	// ListWebhooks returns webhooks, newest first.
	ListWebhooks(ctx context.Context, f WebhookFilter) ([]Webhook, error)
}

// WebhookFilter selects webhooks; its parts combine with AND.
type WebhookFilter struct {
	Query   string   // case-insensitive substring of displayName or description; "" for all
	IDs     []string // nil for all
	Deleted bool     // those that were deleted, instead of those that live
	Before  string   // the last id of the page before; "" for the first
	Limit   int
}

// InstanceStore keeps instances with their envelopes, attempts and outcomes.
type InstanceStore interface {
	// CreateInstances stores all or none. Where an instance's RequestID was
	// used before on its webhook, for the same Fingerprint, the instance of
	// that time is returned in its place, also when the webhook was deleted
	// since. ErrWebhookNotFound when it is deleted or was never there, ErrRequestIDReused; both carry the
	// metadata "index", the position of the one that was refused.
	CreateInstances(ctx context.Context, new []NewInstanceRecord) ([]Instance, error)

	// Claim looks after what is due: it applies to each instance what Due
	// says, saves that, and returns what was claimed. Expired instances are
	// found even where their webhook has no room.
	Claim(ctx context.Context, r ClaimRequest) (Claim, error)

	// TakeNew has t take new instances in the transaction that creates them,
	// as Claim would right after it, which saves a commit and the look-ups,
	// and only where nothing of their webhook has waited for longer. CreateInstances
	// returns them as they were created all the same, in PENDING, and
	// subscribers are told of both steps. There is one taker at a time. stop
	// returns when nothing is reserved any more that was not taken or
	// released.
	TakeNew(t Taker) (stop func())

	// SaveInstance replaces the instance whose version i carries, adds attempt
	// (if not nil) to its history, and stores i's outcome if it is new.
	// ErrConflict, and then the attempt was not added either;
	// ErrInstanceNotFound.
	SaveInstance(ctx context.Context, i Instance, attempt *Attempt) (Instance, error)
	// RecordAttempt adds an attempt whose save lost, or replaces the record
	// that says its lease ran out. A purged instance is no error.
	RecordAttempt(ctx context.Context, instanceID string, a Attempt) error

	// LoadInstance returns an instance with its outcome. ErrInstanceNotFound.
	LoadInstance(ctx context.Context, id string) (Instance, error)
	// LoadEnvelope returns what is sent for an instance. ErrInstanceNotFound.
	LoadEnvelope(ctx context.Context, id string) (Envelope, error)
	// LoadAttempts returns an instance's attempts in their order.
	LoadAttempts(ctx context.Context, id string) ([]Attempt, error)
	// ListInstances returns instances newest first, their outcomes without
	// documents.
	ListInstances(ctx context.Context, f InstanceFilter) (InstancePage, error)
	// CountMatching says how many instances f selects, whatever its Limit, when they
	// are no more than atMost; otherwise, or where a store would have to look at too
	// many, more is true and n are those that were found.
	CountMatching(ctx context.Context, f InstanceFilter, atMost int) (n int, more bool, err error)
	// OldestDue returns at most limit instances that are due and not leased, the
	// longest due first, their outcomes without documents. Pushes are not among them.
	OldestDue(ctx context.Context, limit int) ([]Instance, error)
	// SoonestToExpire returns at most limit instances without an outcome, the
	// soonest to expire first.
	SoonestToExpire(ctx context.Context, limit int) ([]Instance, error)

	// CountInstances says how many instances are in each of States, exact as of
	// a commit, without a walk over the rows: what is asked every few seconds.
	// On a store that is still counting what it found at its start, it waits.
	CountInstances(ctx context.Context) (map[State]int, error)

	// PurgeInstances removes at most limit closed instances that expired
	// before t, with all that belongs to them, and returns how many.
	PurgeInstances(ctx context.Context, t time.Time, limit int) (int, error)

	// Subscribe calls f after each commit with each instance it changed, in
	// the order of the commits. f must not block. Of what another node did, f
	// is told only that an instance got its outcome, or that one is overdue
	// which nobody has claimed, by its ID, and its DueAt if it is overdue; its
	// Version is 0 then. An instance without an ID says that f may not have
	// been told of something.
	Subscribe(f func(Instance)) (cancel func())
	// Told returns when all subscribers have been told of what this process
	// had committed when it was called. A subscriber must not call it: it would wait
	// for itself.
	Told(ctx context.Context) error
}

// FeedStore reads outcomes in the order of their sequences. That order never
// changes, and nothing is ever added before what could be read.
type FeedStore interface {
	// LoadOutcomes returns at most limit instances with their outcomes, those
	// that come after the sequence after, in their order; 0 comes before all
	// that are left. ErrCursorTooOld when some that come after it were purged,
	// ErrCursorUnknown when no outcome has come so far.
	LoadOutcomes(ctx context.Context, after int64, limit int) (OutcomePage, error)
	// LastOutcome returns the sequence of the last outcome that can be read, 0
	// where there never was one: all that have not been committed come after it.
	LastOutcome(ctx context.Context) (int64, error)
}

// OutcomePage is a part of the feed.
type OutcomePage struct {
	Instances []Instance
	// Held says that there may be more, held back by a commit that is under way
	// elsewhere and may come to nothing: it is worth another look soon, because
	// nobody will be told then.
	Held bool
}

// ConsumerStore keeps consumers. What a consumer has not acked is not purged.
type ConsumerStore interface {
	// SaveConsumer stores a new consumer (Version 0) or replaces the one whose
	// version it carries, and returns it with its new version. ErrConsumerExists
	// for a new one whose name is taken, ErrConflict, ErrConsumerNotFound.
	SaveConsumer(ctx context.Context, c Consumer) (Consumer, error)
	// LoadConsumer returns ErrConsumerNotFound.
	LoadConsumer(ctx context.Context, name string) (Consumer, error)
	// ListConsumers returns all, by their names.
	ListConsumers(ctx context.Context) ([]Consumer, error)
	// DeleteConsumer returns ErrConsumerNotFound.
	DeleteConsumer(ctx context.Context, name string) error
}

// Taker takes new instances, where it has room for their attempts. Its methods
// must not block; none is called while another one runs.
type Taker interface {
	// Reserve a place for an attempt on w; false where there is none.
	Reserve(w Webhook) bool
	// Take a place's attempt: its claim is on disk.
	Take(c ClaimedInstance)
	// Release a place: its claim came to nothing.
	Release(w Webhook)
}

// NewInstanceRecord is what CreateInstances stores of one instance.
type NewInstanceRecord struct {
	Instance Instance
	Envelope Envelope
}

// ClaimRequest says how much the engine can take.
type ClaimRequest struct {
	Limit int // attempts that may begin, in all, pushes among them
	// Deliveries is how many of Limit pushes must leave to deliveries: there may be
	// any number of hosts that outcomes are pushed to, each with a bound of its own.
	Deliveries int
	InFlight   map[string]int // attempts in flight by webhook, or lane of pushes; each counts against its bound
	// Bounds has the webhooks that may have fewer attempts in flight than their
	// MaxInFlight, by id; 0 holds all that a webhook has due. One above its
	// MaxInFlight changes nothing. They hold back no more than MaxInFlight does.
	Bounds map[string]int
}

// Claim is what Claim took.
type Claim struct {
	Attempts []ClaimedInstance
	// Held says that something may be due which a webhook's bound or Limit
	// holds back.
	Held bool
	// Next is when to claim again for what is not held back by a webhook's
	// bound or by Limit: the time of the next due instance or expiry, or some
	// time before where attempts were claimed; zero when there is none.
	Next time.Time
	// Oldest is the earliest DueAt, past or future, among what is left and not
	// held back by a webhook's bound; zero when there is none. A past one says
	// for how long claims are behind.
	Oldest time.Time
}

// ClaimedInstance is an attempt to be made, the instance in RUNNING, or a push of
// its outcome, the instance in PROCESS_RESPONSE.
type ClaimedInstance struct {
	Instance Instance
	Webhook  Webhook  // for a push that of its lane: see PushLane
	Envelope Envelope // zero for a push
}

// InstanceFilter selects instances; its parts combine with AND, and a zero part
// selects all.
type InstanceFilter struct {
	WebhookID  string
	State      State
	SourceKind SourceKind
	TicketID   string
	Labels     map[string]string
	CreatedBy  string
	Created    TimeRange
	Expires    TimeRange
	Before     string // the last id of the page before; "" for the first
	Limit      int
}

// Made returns when what f selects can have been created: what expires in a range was
// created within the bounds of callbackTimeout before it.
func (f InstanceFilter) Made() TimeRange {
	made := f.Created
	if from := f.Expires.From; !from.IsZero() && made.From.Before(from.Add(-MaxCallbackTimeout)) {
		made.From = from.Add(-MaxCallbackTimeout)
	}
	if to := f.Expires.To; !to.IsZero() && (made.To.IsZero() || to.Add(-MinCallbackTimeout).Before(made.To)) {
		made.To = to.Add(-MinCallbackTimeout)
	}
	return made
}

// InstancePage is a part of a list.
type InstancePage struct {
	Instances []Instance
	// Searched is set when the store stopped before the page was full, because it had
	// looked at many: it is the last id that it looked at, to be the next page's Before.
	Searched string
}

// TimeRange is from From, inclusive, to To, exclusive; a zero end is open.
type TimeRange struct{ From, To time.Time }

// StatisticsStore keeps what was counted.
type StatisticsStore interface {
	// SaveStatistics stores each row, in the place of the one with its WebhookID,
	// Span, Start and Process, and forgets rows that are older by now than
	// KeepStatisticsMinutes and KeepStatisticsQuarters. Of each webhook it keeps the
	// last attempt that any row knew of, as long as there is the webhook. One that
	// ended after now gives way to any other: the clock was wrong that said so.
	SaveStatistics(ctx context.Context, rows []StatisticsRow) error
	// LoadStatistics returns rows by their Start.
	LoadStatistics(ctx context.Context, f StatisticsFilter) ([]StatisticsRow, error)
	// LastAttempts returns the last attempts of these webhooks, by their ids, as far
	// as rows of any age knew of them.
	LastAttempts(ctx context.Context, webhookIDs []string) (map[string]LastAttempt, error)
}

// SecretStore keeps the server's own secrets.
type SecretStore interface {
	// LoadSecret returns ErrSecretNotFound.
	LoadSecret(ctx context.Context, name string) (Secret, error)
	// SaveSecret stores a new secret (version 0) or replaces the one that has this
	// version; its version is one higher then. ErrConflict.
	SaveSecret(ctx context.Context, name string, value []byte, version int64) error
}

// Secret is a secret of the server's own as it is kept: sealed, but for what opens the
// others.
type Secret struct {
	Value   []byte
	Version int64 // 1 when it is new
}

// ClientStore keeps client credentials.
type ClientStore interface {
	// CreateClient stores a new client. ErrClientExists where its ClientID is taken.
	CreateClient(ctx context.Context, c Client) error
	// LoadClient returns the client that calls itself clientID, without LastUsedAt.
	// What it remembers of an earlier call counts for as long as a key that LoadKey
	// remembers. ErrClientNotFound.
	LoadClient(ctx context.Context, clientID string) (Client, error)
	// ListClients returns all, newest first.
	ListClients(ctx context.Context) ([]Client, error)
	// DeleteClient forgets the client of this id, as soon as DeleteKey does a key.
	// ErrClientNotFound.
	DeleteClient(ctx context.Context, id string) error
	// UseAssertion takes notice that the assertion of this id was used; until says from
	// when on it would be refused anyway, and may be forgotten. ErrReplayed where it was
	// used before, at whatever node.
	UseAssertion(ctx context.Context, id string, until time.Time) error
}

// AuditStore reads the audit log. Stores write it with what is changed: see WithAudit.
// Entries go when they are older than KeepAudit.
type AuditStore interface {
	// ListAudit returns entries, newest first.
	ListAudit(ctx context.Context, f AuditFilter) ([]AuditEntry, error)
}

// KeyStore keeps API keys.
type KeyStore interface {
	// CreateKey stores an API key. The key whose hash is already there stays.
	CreateKey(ctx context.Context, k Key) error
	// LoadKey returns the key with this hash. ErrKeyNotFound.
	LoadKey(ctx context.Context, hash []byte) (Key, error)
	// ListKeys returns all keys, newest first.
	ListKeys(ctx context.Context) ([]Key, error)
	// DeleteKey forgets the key of this id, here at once and at other nodes within
	// 5 s, or an hour where one can't ask the database. ErrKeyNotFound. With keepAdmin
	// it keeps the last key of an admin, however many are deleted at the same time:
	// ErrLastAdmin. Without that any key may go, which is for servers whose
	// configuration gives an admin. One that is then started without it makes a first
	// key if it has its own data directory and no key at all is left, of the secret
	// that admin.key still has; otherwise it has no admin until riposte keys create
	// makes one.
	DeleteKey(ctx context.Context, id string, keepAdmin bool) error
	// SaveLastUses takes notice of when keys and clients were last used, by their ids;
	// one that is gone is no error, and an earlier time than is known changes nothing.
	SaveLastUses(ctx context.Context, uses map[string]time.Time) error
}
