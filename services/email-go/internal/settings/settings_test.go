package settings

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func env(more Env) Env {
	all := Env{
		"DATABASE_URL": "postgres://u:s3cret@db:5432/d", "NATS_URL": "nats://u:s3cret@nats:4222", "USERS_URL": "http://users:8080",
	}
	maps.Copy(all, more)
	return all
}

func TestDefaults(t *testing.T) {
	s, err := Read(env(nil))
	if err != nil {
		t.Fatal(err)
	}
	if s.MaxConnections != 8 || s.API.String() != "0.0.0.0:8080" || s.Admin.String() != "0.0.0.0:9090" || s.Mail.Server != nil ||
		s.Mail.ShopName() != "Shop" {
		t.Errorf("%+v", s)
	}
}

func TestAMailServerHasTheUsualPortAndMustEncrypt(t *testing.T) {
	s, err := Read(env(Env{"SMTP_HOST": "mail.example.com", "MAIL_FROM": "shop@example.com"}))
	if err != nil || s.Mail.Server.Port != 587 || s.Mail.Server.TLS != StartTLS || s.Mail.ShopName() != "example.com" {
		t.Errorf("%+v, %v", s.Mail, err)
	}
}

func TestAWrongSettingIsNamedInOneSentenceWithoutItsSecret(t *testing.T) {
	smtp := func(more Env) Env {
		all := Env{"SMTP_HOST": "mail.example.com", "MAIL_FROM": "Demo <shop@example.com>"}
		maps.Copy(all, more)
		return all
	}
	for begin, given := range map[string]Env{
		"setting DATABASE_URL is missing: give postgres://":                      {"DATABASE_URL": ""},
		"setting NATS_URL is missing: give nats://":                              {"NATS_URL": ""},
		"setting USERS_URL is missing: give the base URL":                        {"USERS_URL": ""},
		"setting USERS_URL is wrong":                                             {"USERS_URL": "users"},
		"setting NATS_URL is wrong":                                              {"NATS_URL": "nats://u:s3cret@:x"},
		"setting DATABASE_MAX_CONNECTIONS is wrong: give a whole number from 2":  {"DATABASE_MAX_CONNECTIONS": "1"},
		"setting HTTP_ADDR is wrong":                                             {"HTTP_ADDR": "8080"},
		"setting ADMIN_ADDR is wrong":                                            {"ADMIN_ADDR": "localhost:8080"},
		`setting TRUSTED_PROXIES is wrong: "proxy" is neither`:                   {"TRUSTED_PROXIES": "10.0.0.0/8,proxy"},
		`setting CORS_ORIGINS is wrong: "https://shop.example/" is no origin`:    {"CORS_ORIGINS": "https://shop.example/"},
		`setting CORS_ORIGINS is wrong: "https://shop.example:443" is no origin`: {"CORS_ORIGINS": "https://shop.example:443"},
		"setting MAIL_FROM is wrong: it must be given with SMTP_HOST":            {"SMTP_HOST": "mail.example.com"},
		"setting MAIL_FROM is wrong: mail:":                                      {"MAIL_FROM": "nobody"},
		`setting SMTP_TLS is wrong: "Maybe" is none of`:                          smtp(Env{"SMTP_TLS": "Maybe"}),
		"setting SMTP_PORT is wrong":                                             smtp(Env{"SMTP_PORT": "99999"}),
		"setting SMTP_PASSWORD is wrong: it is missing":                          smtp(Env{"SMTP_USERNAME": "u"}),
		"setting SMTP_USERNAME is wrong: it is missing":                          smtp(Env{"SMTP_PASSWORD": "p"}),
		"setting SMTP_TLS is wrong: None would send": smtp(Env{
			"SMTP_USERNAME": "u", "SMTP_PASSWORD": "p", "SMTP_TLS": "None",
		}),
		"setting NATS_URL_FILE names the file /nowhere, which cannot be read": {"NATS_URL": "", "NATS_URL_FILE": "/nowhere"},
	} {
		_, err := Read(env(given))
		_, ok := errors.AsType[*Error](err)
		if !ok || !strings.HasPrefix(err.Error(), begin) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", begin, err)
		}
	}
}

func TestASecretMayStandInAFileAndItsLineEndIsNotPartOfIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("postgres://u:p@db/d\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Read(env(Env{"DATABASE_URL": "", "DATABASE_URL_FILE": file}))
	if err != nil || s.DatabaseURL != "postgres://u:p@db/d" {
		t.Error(s.DatabaseURL, err)
	}
}

func TestALevelStandsAloneOrBesideDirectives(t *testing.T) {
	for text, expected := range map[string]slog.Level{
		"": slog.LevelInfo, "debug": slog.LevelDebug, "warn,shop_email=debug": slog.LevelWarn, "tower=info": slog.LevelInfo,
		"ERROR": slog.LevelError,
	} {
		if level, err := LogLevel(Env{"LOG": text}); err != nil || level != expected {
			t.Error(text, level, err)
		}
	}
	if level, err := LogLevel(Env{"LOG": "loud"}); err == nil {
		t.Error(level)
	}
}
