package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Settings are all that this service has.
type Settings struct {
	DatabaseURL    string
	MaxConnections int32
	BrokerURL      *url.URL
	API, Admin     netip.AddrPort
	Proxies        []netip.Prefix
	Origins        []string
	UsersURL       *url.URL
	Mail           Mail
}

// Mail is what concerns mails.
type Mail struct {
	// The sender of every mail.
	From mail.Address
	// Where mails go; nil keeps them.
	Server *Server
}

// Server is the mail server to hand mails to.
type Server struct {
	Host               string
	Port               uint16
	TLS                TLS
	Username, Password string
}

// TLS says how the connection to the mail server is encrypted.
type TLS string

const (
	// NoTLS is for a relay inside the cluster.
	NoTLS TLS = "None"
	// StartTLS begins plain and must become TLS before anything is said.
	StartTLS TLS = "StartTls"
	// ImplicitTLS is TLS from the first byte.
	ImplicitTLS TLS = "Tls"
)

const defaultFrom = "Shop <no-reply@shop.example>"

// Domain is what follows the @ of the sender's address.
func (m Mail) Domain() string {
	return m.From.Address[strings.LastIndexByte(m.From.Address, '@')+1:]
}

// ShopName is the shop's name as mails are signed.
func (m Mail) ShopName() string {
	if m.From.Name != "" {
		return m.From.Name
	}
	return m.Domain()
}

// Read reads all settings that serving needs. The error is about the first one that is wrong.
func Read(env Env) (Settings, error) {
	var s Settings
	var err error
	into(&s.DatabaseURL, &err)(DatabaseURL(env))
	into(&s.MaxConnections, &err)(read(env, "DATABASE_MAX_CONNECTIONS", 8, connections))
	into(&s.BrokerURL, &err)(brokerURL(env))
	into(&s.API, &err)(read(env, "HTTP_ADDR", netip.MustParseAddrPort("0.0.0.0:8080"), address))
	into(&s.Admin, &err)(read(env, "ADMIN_ADDR", netip.MustParseAddrPort("0.0.0.0:9090"), address))
	into(&s.Proxies, &err)(read(env, "TRUSTED_PROXIES", nil, listOf(network)))
	into(&s.Origins, &err)(read(env, "CORS_ORIGINS", nil, listOf(origin)))
	into(&s.UsersURL, &err)(usersURL(env))
	into(&s.Mail, &err)(readMail(env))
	return s, err
}

func into[T any](to *T, err *error) func(T, error) {
	return func(value T, e error) {
		if *err == nil {
			*to, *err = value, e
		}
	}
}

// DatabaseURL is the one setting that migrating needs.
func DatabaseURL(env Env) (string, error) {
	return env.requiredSecret("DATABASE_URL", "postgres://user:password@host:5432/database")
}

// LogLevel reads LOG: the level that stands alone in it. Directives for single modules name modules of another program.
func LogLevel(env Env) (slog.Level, error) {
	return read(env, "LOG", slog.LevelInfo, func(text string) (slog.Level, error) {
		level := slog.LevelInfo
		for directive := range strings.SplitSeq(text, ",") {
			target, word, isTargeted := strings.Cut(strings.TrimSpace(directive), "=")
			if !isTargeted {
				word = target
			}
			found, ok := levels[strings.ToLower(word)]
			if !ok {
				return level, fmt.Errorf("%q is none of error, warn, info, debug, trace and off", word)
			}
			if !isTargeted {
				level = found
			}
		}
		return level, nil
	})
}

var levels = map[string]slog.Level{
	"off": slog.LevelError + 1, "error": slog.LevelError, "warn": slog.LevelWarn, "info": slog.LevelInfo,
	"debug": slog.LevelDebug, "trace": slog.LevelDebug,
}

func connections(text string) (int32, error) {
	number, err := strconv.ParseInt(text, 10, 32)
	if err != nil || number < 2 || number > 64 {
		return 0, errors.New("give a whole number from 2 to 64")
	}
	return int32(number), nil
}

func brokerURL(env Env) (*url.URL, error) {
	const hint = "nats://user:password@host:4222"
	text, err := env.requiredSecret("NATS_URL", hint)
	if err != nil {
		return nil, err
	}
	address, err := url.Parse(text)
	if err != nil || address.Hostname() == "" || (address.Scheme != "nats" && address.Scheme != "tls") {
		return nil, Wrong("NATS_URL", "give "+hint) // The parser's own words would repeat the password.
	}
	return address, nil
}

func usersURL(env Env) (*url.URL, error) {
	const hint = "the base URL of the service users, like http://users:8080"
	if env["USERS_URL"] == "" {
		return nil, missing("USERS_URL", hint)
	}
	return read(env, "USERS_URL", nil, func(text string) (*url.URL, error) {
		address, err := url.Parse(text)
		if err != nil || address.Host == "" || (address.Scheme != "http" && address.Scheme != "https") {
			return nil, errors.New("give " + hint)
		}
		return address, nil
	})
}

func address(text string) (netip.AddrPort, error) {
	found, err := netip.ParseAddrPort(text)
	if err != nil {
		return found, errors.New("give an address and a port like 0.0.0.0:8080")
	}
	return found, nil
}

func listOf[T any](parse func(string) (T, error)) func(string) ([]T, error) {
	return func(text string) ([]T, error) {
		var all []T
		for part := range strings.SplitSeq(text, ",") {
			one, err := parse(strings.TrimSpace(part))
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		return all, nil
	}
}

func network(text string) (netip.Prefix, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Masked(), nil
	}
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()), nil
	}
	return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", text)
}

// origin takes an origin as browsers write it: scheme, host, and the port where it is not the usual.
func origin(text string) (string, error) {
	address, err := url.Parse(text)
	isOrigin := err == nil && address.Host != "" && address.Scheme+"://"+strings.ToLower(address.Host) == text
	usual := map[string]string{"http": "80", "https": "443"}
	if isOrigin && (address.Port() == "" || address.Port() != usual[address.Scheme]) {
		return text, nil
	}
	return "", fmt.Errorf("%q is no origin such as https://shop.example", text)
}

func readMail(env Env) (Mail, error) {
	var m Mail
	from, err := read(env, "MAIL_FROM", nil, mail.ParseAddress)
	if err != nil {
		return m, err
	}
	m.Server, err = mailServer(env)
	if err != nil {
		return m, err
	}
	if m.Server != nil && from == nil {
		return m, Wrong("MAIL_FROM", `it must be given with SMTP_HOST, like "Demo <shop@example.com>"`)
	}
	if from == nil {
		from, err = mail.ParseAddress(defaultFrom)
	}
	if from != nil {
		m.From = *from
	}
	return m, err
}

func mailServer(env Env) (*Server, error) {
	server := &Server{Host: env["SMTP_HOST"], Username: env["SMTP_USERNAME"]}
	if server.Host == "" {
		return nil, nil
	}
	var err error
	if server.TLS, err = read(env, "SMTP_TLS", StartTLS, encryption); err != nil {
		return nil, err
	}
	if server.Password, err = env.secret("SMTP_PASSWORD"); err != nil {
		return nil, err
	}
	switch hasUser, hasPassword := server.Username != "", server.Password != ""; {
	case hasUser && !hasPassword:
		return nil, Wrong("SMTP_PASSWORD", "it is missing although SMTP_USERNAME is given")
	case hasPassword && !hasUser:
		return nil, Wrong("SMTP_USERNAME", "it is missing although SMTP_PASSWORD is given")
	case hasUser && server.TLS == NoTLS:
		return nil, Wrong("SMTP_TLS",
			"None would send the password unencrypted: give StartTls or Tls, or no SMTP_USERNAME")
	}
	usual := map[TLS]uint16{NoTLS: 25, StartTLS: 587, ImplicitTLS: 465}
	server.Port, err = read(env, "SMTP_PORT", usual[server.TLS], func(text string) (uint16, error) {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return 0, errors.New("give a port number")
		}
		return uint16(port), nil
	})
	return server, err
}

func encryption(text string) (TLS, error) {
	switch tls := TLS(text); tls {
	case NoTLS, StartTLS, ImplicitTLS:
		return tls, nil
	}
	return "", fmt.Errorf("%q is none of None, StartTls and Tls", text)
}
