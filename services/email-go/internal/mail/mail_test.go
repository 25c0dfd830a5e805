package mail

import (
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"shopkeeper.dev/email/internal/strictjson"
)

func confirmed(title string) Letter {
	return Letter{OrderConfirmed, map[string]any{
		"number": "DEADBEEF", "total": "44.48 EUR",
		"items": []map[string]any{
			{"title": title, "quantity": 2, "line_total": "39.98 EUR"},
			{"title": "Tea", "quantity": 1, "line_total": "4.50 EUR"},
		},
	}}
}

// letters are those of the snapshots of services/email.
func letters() []Letter {
	return []Letter{
		{Kind: Welcome},
		confirmed("Tea pot"),
		{OrderCancelled, map[string]any{
			"number": "DEADBEEF", "reason": "Your payment was declined.", "total": "44.48 EUR",
		}},
		{OrderRefunded, map[string]any{
			"number": "DEADBEEF", "amount": "4.50 EUR", "refunded": "24.49 EUR", "total": "44.48 EUR",
		}},
	}
}

func render(t *testing.T, letter Letter) Rendered {
	t.Helper()
	renderer, err := NewRenderer("Demo")
	if err != nil {
		t.Fatal(err)
	}
	mail, err := renderer.Render(letter)
	if err != nil {
		t.Fatal(err)
	}
	return mail
}

func TestMailsAreThoseOfTheOtherProgram(t *testing.T) {
	for _, letter := range letters() {
		mail := render(t, letter)
		for part, text := range map[string]string{
			"text": "Subject: " + mail.Subject + "\n\n" + mail.Text, "html": mail.HTML,
		} {
			file := "../../../email/src/snapshots/shop_email__render__tests__" + string(letter.Kind) + "_" + part + ".snap"
			snapshot, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			// A head between two lines of dashes, then the text and a line end.
			_, expected, _ := strings.Cut(strings.TrimPrefix(string(snapshot), "---\n"), "\n---\n")
			if text+"\n" != expected {
				t.Errorf("%s\nis not\n%s\nof %s", text, expected, file)
			}
		}
	}
}

func TestTheTemplatesAreThoseOfTheOtherProgram(t *testing.T) {
	sameFiles(t, os.DirFS("templates"), os.DirFS("../../../email/templates"))
	sameFiles(t, os.DirFS("../../../email/templates"), os.DirFS("templates"))
}

func sameFiles(t *testing.T, some, others fs.FS) {
	t.Helper()
	count := 0
	err := fs.WalkDir(some, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		one, err1 := fs.ReadFile(some, path)
		other, err2 := fs.ReadFile(others, path)
		if err1 != nil || err2 != nil || string(one) != string(other) {
			t.Errorf("%s differs: go generate ./...", path)
		}
		count++
		return nil
	})
	if err != nil || count == 0 {
		t.Errorf("%d files, %v", count, err)
	}
}

func TestWhatATitleHoldsIsShownAndNotRun(t *testing.T) {
	mail := render(t, confirmed(`<b>Tea</b><script>alert("1")</script>`))
	if strings.Contains(mail.HTML, "<b>") || strings.Contains(mail.HTML, "<script") {
		t.Error(mail.HTML)
	}
	if !strings.Contains(mail.HTML, "&lt;b&gt;Tea&lt;&#x2f;b&gt;") || !strings.Contains(mail.Text, "<b>Tea</b>") {
		t.Error(mail)
	}
	if mail := render(t, confirmed("{{ 7 * 7 }}{% raw %}")); !strings.Contains(mail.Text, "2 x {{ 7 * 7 }}{% raw %}:") {
		t.Error(mail.Text)
	}
}

func TestAFieldThatIsMissingIsAnError(t *testing.T) {
	renderer, err := NewRenderer("Demo")
	if err != nil {
		t.Fatal(err)
	}
	for _, fields := range []map[string]any{nil, {"number": "1"}} {
		if mail, err := renderer.Render(Letter{OrderConfirmed, fields}); err == nil {
			t.Errorf("%v became %v", fields, mail)
		}
	}
}

func TestSyntaxThatIsNotKnownIsAnError(t *testing.T) {
	if text, err := translate("{% if letter %}x{% endif %}"); err == nil {
		t.Error(text)
	}
}

func TestATextBecomesOneLine(t *testing.T) {
	for text, expected := range map[string]string{
		"Eve\r\nBcc: all@shop.example\r\n\r\nbody": "Eve Bcc: all@shop.example body",
		"  Zoë \t Müller\x00 ":                     "Zoë Müller",
		"a\u202eb\u2028c":                          "a b c",
		strings.Repeat("ä", 5000):                  strings.Repeat("ä", 200),
		"\n":                                       "",
	} {
		if line := OneLine(text); line != expected {
			t.Errorf("%q became %q", text, line)
		}
	}
}

func TestAnAmountHasTheDecimalsOfItsCurrency(t *testing.T) {
	for expected, money := range map[string]Money{
		"19.99 EUR":                 {1999, "EUR"},
		"0.05 EUR":                  {5, "EUR"},
		"0.00 EUR":                  {0, "EUR"},
		"-10.50 USD":                {-1050, "USD"},
		"-0.05 USD":                 {-5, "USD"},
		"1500 JPY":                  {1500, "JPY"},
		"1.500 KWD":                 {1500, "KWD"},
		"1.500 IQD":                 {1500, "IQD"},
		"15 XAU":                    {15, "XAU"},
		"-92233720368547758.08 EUR": {math.MinInt64, "EUR"},
	} {
		if text, err := money.Text(); err != nil || text != expected {
			t.Errorf("%v became %q, %v", money, text, err)
		}
	}
	if text, err := (Money{1, "XYZ1"}).Text(); err == nil {
		t.Error(text)
	}
}

func TestTooLargeAProductIsAnError(t *testing.T) {
	for _, amount := range []int64{math.MaxInt64, math.MinInt64, math.MaxInt64/2 + 1} {
		if product, err := (Money{amount, "EUR"}).Times(2); err == nil {
			t.Error(product)
		}
	}
	for _, quantity := range []uint32{0, 1, math.MaxUint32} {
		if product, err := (Money{-7, "EUR"}).Times(quantity); err != nil || product.Amount != -7*int64(quantity) {
			t.Error(product, err)
		}
	}
}

// examples are the data of the events that the owners have checked in.
func examples[T any](t *testing.T, event string) (all []T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../../contracts/events", event+".v1.examples.json"))
	if err != nil {
		t.Fatal(err)
	}
	var envelopes []struct{ Data json.RawMessage }
	if err := json.Unmarshal(text, &envelopes); err != nil || len(envelopes) == 0 {
		t.Fatal(len(envelopes), err)
	}
	for _, envelope := range envelopes {
		var data T
		if err := strictjson.Unmarshal(envelope.Data, &data); err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

func TestReadsWhatOthersPublish(t *testing.T) {
	for _, user := range examples[Registered](t, "user.registered") {
		if user.UserID == uuid.Nil || !strings.Contains(user.Email, "@") {
			t.Error(user)
		}
	}
	for _, order := range examples[Confirmed](t, "order.confirmed") {
		letter, err := order.Letter()
		text := render(t, letter).Text
		if err != nil || !strings.Contains(text, order.Items[0].Title) || !strings.Contains(text, *order.Number) {
			t.Error(text, err)
		}
	}
	for _, order := range examples[Cancelled](t, "order.cancelled") {
		letter, err := order.Letter()
		words, known := reasons[order.Reason]
		if !known || err != nil || !strings.Contains(render(t, letter).Text, words) {
			t.Error(order, err)
		}
	}
	for _, order := range examples[Refunded](t, "order.refunded") {
		letter, err := order.Letter()
		amount, _ := order.Amount.Text()
		if err != nil || !strings.Contains(render(t, letter).Text, amount) {
			t.Error(order, err)
		}
	}
}

func TestTheNumberOfAnOlderEventIsTheEndOfTheID(t *testing.T) {
	order := Order{OrderID: uuid.MustParse("0199abcd-0000-7000-8000-0000deadbeef")}
	if order.number() != "DEADBEEF" {
		t.Error(order.number())
	}
	given := "A72489D4"
	if order.Number = &given; order.number() != given {
		t.Error(order.number())
	}
}

func TestAReasonOfALaterVersionIsSaidInGeneralWords(t *testing.T) {
	if words := reason("warehouse_burnt").inWords(); !strings.HasPrefix(words, "We could not complete it.") {
		t.Error(words)
	}
}

// What is published is what the contract shows: the same fields, and no others.
func TestPublishesWhatTheContractShows(t *testing.T) {
	check := func(event string, of func(json.RawMessage) (any, error)) {
		for _, example := range examples[json.RawMessage](t, event) {
			value, err := of(example)
			if err != nil {
				t.Fatal(err)
			}
			written, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if canonical(t, written) != canonical(t, example) {
				t.Errorf("%s is not %s", written, example)
			}
		}
	}
	check("email.sent", func(raw json.RawMessage) (any, error) {
		var event SentEvent
		err := json.Unmarshal(raw, &event)
		return event, err
	})
	check("email.bounced", func(raw json.RawMessage) (any, error) {
		var event BouncedEvent
		err := json.Unmarshal(raw, &event)
		return event, err
	})
}

func canonical(t *testing.T, text []byte) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	canonical, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(canonical)
}
