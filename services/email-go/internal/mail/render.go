package mail

import (
	"embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

// The templates are those of services/email/templates; a test compares them.
//
//go:generate rm -r templates
//go:generate cp -r ../../../email/templates templates
//go:embed templates
var templates embed.FS

// Rendered is a mail as its reader sees it.
type Rendered struct {
	// One line.
	Subject string
	Text    string
	// A whole page; fetches nothing.
	HTML string
}

// Renderer makes mails of letters. A field that a template names and a letter does not have is an error, never an empty place.
type Renderer struct {
	parts map[string]*template.Template
	// The shop's name as mails are signed.
	shop string
}

// NewRenderer reads the templates. An error is a mistake in one of them and ends the start.
func NewRenderer(shop string) (*Renderer, error) {
	r := &Renderer{parts: map[string]*template.Template{}, shop: OneLine(shop)}
	for _, kind := range Kinds {
		for part, layout := range map[string]string{"subject.txt": "", "text.txt": "layout.txt", "page.html": "layout.html"} {
			name := kind + "/" + part
			parsed, err := parseTemplate(name, layout)
			if err != nil {
				return nil, fmt.Errorf("the template %s: %w", name, err)
			}
			r.parts[name] = parsed
		}
	}
	return r, nil
}

// Render renders a letter. The same letter always gives the same mail.
func (r *Renderer) Render(letter Letter) (mail Rendered, err error) {
	subject, err := r.part(letter, "subject.txt", "")
	if err != nil {
		return mail, err
	}
	mail.Subject = OneLine(subject)
	if mail.Text, err = r.part(letter, "text.txt", mail.Subject); err != nil {
		return mail, err
	}
	mail.HTML, err = r.part(letter, "page.html", mail.Subject)
	return mail, err
}

func (r *Renderer) part(letter Letter, part, subject string) (string, error) {
	var text strings.Builder
	err := r.parts[string(letter.Kind)+"/"+part].Execute(&text,
		map[string]any{"letter": letter.Fields, "subject": subject, "shop": r.shop})
	return text.String(), err
}

// parseTemplate reads a template, with the layout that it extends.
func parseTemplate(name, layout string) (*template.Template, error) {
	escape := func(value any) string { return fmt.Sprint(value) }
	if strings.HasSuffix(name, ".html") {
		escape = func(value any) string { return htmlEscapes.Replace(fmt.Sprint(value)) }
	}
	base := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{"show": escape})
	for _, file := range []string{layout, name} {
		if file == "" {
			continue
		}
		source, err := templates.ReadFile("templates/" + file)
		if err != nil {
			return nil, err
		}
		translated, err := translate(string(source))
		if err != nil {
			return nil, err
		}
		// The blocks of the second take the place of those of the first, which is the one that is executed.
		parsed := base
		if file != layout && layout != "" {
			parsed = base.New(file + " blocks")
		}
		if _, err := parsed.Parse(translated); err != nil {
			return nil, err
		}
	}
	return base, nil
}

var htmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;", "/", "&#x2f;")

// A statement with the white space before it on its line and the line end behind it, or a value.
var syntax = regexp.MustCompile(`(?m:^[ \t]*)?\{% *(.*?) *%\}\n?|\{\{ *([\w.]+) *\}\}`)

// translate makes Go's template language of the Jinja that the templates are written in: blocks, loops, values. What else Jinja
// has is an error.
func translate(source string) (string, error) {
	var err error
	loops := map[string]bool{}
	translated := syntax.ReplaceAllStringFunc(strings.TrimSuffix(source, "\n"), func(found string) string {
		parts := syntax.FindStringSubmatch(found)
		if value := parts[2]; value != "" {
			return "{{show " + variable(value, loops) + "}}"
		}
		switch words := strings.Fields(parts[1]); {
		case len(words) == 2 && words[0] == "extends":
			return ""
		case len(words) == 2 && words[0] == "block":
			return `{{block "` + words[1] + `" .}}`
		case len(words) == 4 && words[0] == "for" && words[2] == "in":
			loops[words[1]] = true
			return "{{range $" + words[1] + " := " + variable(words[3], loops) + "}}"
		case len(words) == 1 && (words[0] == "endblock" || words[0] == "endfor"):
			return "{{end}}"
		}
		err = fmt.Errorf("%q is not known here", found)
		return ""
	})
	return translated, err
}

func variable(name string, loops map[string]bool) string {
	first, _, _ := strings.Cut(name, ".")
	if loops[first] {
		return "$" + name
	}
	return "$." + name
}
