package delivery

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Trouble is why no mail goes out, whatever mail it is.
type Trouble string

const (
	// Unreachable: there is no connection to the mail server, or it is busy.
	Unreachable Trouble = "unreachable"
	// LogInRefused: the mail server does not accept the log-in, or wants one.
	LogInRefused Trouble = "log_in_refused"
	// SenderRefused: the mail server refuses the sender: its address, its host, or relaying for it.
	SenderRefused Trouble = "sender_refused"
)

// What whoever runs the service should look at.
var advice = map[Trouble]string{
	Unreachable:   "look at SMTP_HOST, SMTP_PORT, SMTP_TLS and at the server",
	LogInRefused:  "look at SMTP_USERNAME and SMTP_PASSWORD",
	SenderRefused: "look at MAIL_FROM, and at what the server lets this client and its log-in send",
}

// Stopped says since when the mail server takes no mail, and why.
type Stopped struct {
	Trouble Trouble
	// The server's reply code, 0 where it gave none.
	Code  int
	Since time.Time
	// Attempts that have failed like this in a row.
	failures int
}

// Server is whether the mail server takes mails, as this replica sees it: for the metrics, the API and the log.
type Server struct {
	mu      sync.Mutex
	stopped *Stopped
	gauge   *prometheus.GaugeVec
}

// NewServer registers its metric. The server takes mails, as far as is known.
func NewServer(registry prometheus.Registerer) *Server {
	s := &Server{gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "shop_email_stopped", Help: "1 while no mail goes out for this reason, whatever mail it is",
	}, []string{"reason"})}
	registry.MustRegister(s.gauge)
	s.show()
	return s
}

// Stopped is nil while the server takes mails, as far as is known.
func (s *Server) Stopped() *Stopped {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// works: the server has taken a mail, or judged one on its own. It says whether it did not before.
func (s *Server) works() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped == nil {
		return false
	}
	slog.Info("the mail server takes mails again")
	s.stopped = nil
	s.show()
	return true
}

// fails: the server takes no mail. The log tells of it once, and again when the reason changes.
func (s *Server) fails(trouble Trouble, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := &Stopped{trouble, code, time.Now().UTC(), 1}
	if before := s.stopped; before != nil {
		now.Since, now.failures = before.Since, before.failures+1
	}
	if s.stopped == nil || s.stopped.Trouble != trouble {
		slog.Warn("no mail goes out, all wait: "+advice[trouble], slog.Any("reason", trouble), smtpCode(code))
	}
	s.stopped = now
	s.show()
}

// smtpCode is nothing where the server gave none.
func smtpCode(code int) slog.Attr {
	if code == 0 {
		return slog.Attr{}
	}
	return slog.Int("smtp_code", code)
}

func (s *Server) show() {
	for trouble := range advice {
		value := 0.0
		if s.stopped != nil && s.stopped.Trouble == trouble {
			value = 1
		}
		s.gauge.WithLabelValues(string(trouble)).Set(value)
	}
}
