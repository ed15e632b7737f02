package metrics

import "time"

// definition is a metric as it is exposed and as docs/metrics.md has it.
type definition struct {
	name, help string
	labels     []string
	buckets    []float64 // of a histogram
}

// The table of all that Riposte exposes beside the Go runtime's and the
// process's own. Times are in seconds.
var (
	instances = definition{"riposte_instances", "Instances in the store by state, closed ones as long as they are kept.", []string{"state"}, nil}
	created   = definition{"riposte_instances_created_total", "Instances created, by the kind of their source.", []string{"source"}, nil}
	closed    = definition{"riposte_instances_closed_total", "Instances closed, by their outcome's kind and, for FAILED, its reason.", []string{"outcome", "reason"}, nil}

	attempts        = definition{"riposte_attempts_total", "Attempts ended: the class of the status, or what broke the attempt off before its response was read whole.", []string{"result"}, nil}
	attemptDuration = definition{"riposte_attempt_duration_seconds", "Duration of an attempt, dial to last byte.", nil, attemptBuckets}
	outcomeDuration = definition{"riposte_outcome_duration_seconds", "Time from an instance's creation to its outcome.", nil, outcomeBuckets}

	pushes        = definition{"riposte_pushes_total", "Pushes of outcomes ended: the class of the status, or what broke the push off before its response was read whole.", []string{"result"}, nil}
	pushesGivenUp = definition{"riposte_pushes_given_up_total", "Outcomes that are pushed no more until somebody asks for them.", nil, nil}

	dueLag = definition{"riposte_due_lag_seconds", "How long the oldest due instance that neither its webhook's bound nor its breaker holds back has been waiting for its claim.", nil, nil}

	commitOperations = definition{"riposte_store_commit_operations", "Operations that shared one commit of the store.", nil, commitOperationBuckets}
	commitDuration   = definition{"riposte_store_commit_duration_seconds", "Duration of the store's COMMIT statement, the fsync included.", nil, commitBuckets}

	inFlight        = definition{"riposte_attempts_in_flight", "Attempts in flight, their results being saved included.", nil, nil}
	webhookInFlight = definition{"riposte_webhook_attempts_in_flight", "Attempts in flight of the webhooks with most of them.", []string{"webhook"}, nil}
	breakersOpen    = definition{"riposte_breakers_open", "Webhooks that are held because their receiver can't be reached: breakers open or half open.", nil, nil}

	consumerLag = definition{"riposte_consumer_lag_outcomes", "Outcomes, at most, that a consumer has not acked yet.", []string{"consumer"}, nil}

	requests    = definition{"riposte_requests_in_flight", "Requests in work, by their kind.", []string{"kind"}, nil}
	bodyBytes   = definition{"riposte_request_body_bytes", "Bytes of request bodies that are held, by the kind of request.", []string{"kind"}, nil}
	refused     = definition{"riposte_requests_refused_total", "Requests refused because as many of their kind were in work as may be.", []string{"kind"}, nil}
	rateLimited = definition{"riposte_requests_rate_limited_total", "Requests refused because their key or client calls more often than it may.", nil, nil}

	connections        = definition{"riposte_connections", "Connections that callers and receivers hold, by listener.", []string{"listener"}, nil}
	refusedConnections = definition{"riposte_connections_refused_total", "Connections closed at once because there were as many as may be, by listener.", []string{"listener"}, nil}

	buildInfo = definition{"riposte_build_info", "1, with the version of the server.", []string{"version"}, nil}
)

// maxWebhooks bounds the series of webhookInFlight in one scrape.
const maxWebhooks = 20

// The results of attempts that no status class or phase names.
const (
	resultTimeout = "timeout"
	resultOther   = "other" // such as a status of 600 and more
)

var (
	// An attempt that is given up takes a moment more than its 30 s.
	attemptBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 31}
	outcomeBuckets = seconds(time.Millisecond, 5*time.Millisecond, 10*time.Millisecond, 25*time.Millisecond, 50*time.Millisecond,
		100*time.Millisecond, 500*time.Millisecond, time.Second, 5*time.Second, 30*time.Second, time.Minute, 5*time.Minute,
		30*time.Minute, time.Hour, 6*time.Hour, day, 3*day, 7*day, 14*day, 30*day)
	commitOperationBuckets = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}
	commitBuckets          = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5}
)

const day = 24 * time.Hour

func seconds(ds ...time.Duration) []float64 {
	all := make([]float64, len(ds))
	for n, d := range ds {
		all[n] = d.Seconds()
	}
	return all
}
