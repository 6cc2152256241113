// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Name is the command that is answered, exactly.
const Name = "sardine-probe"

// Usage is the grammar, as it is told with a usage error.
const Usage = `usage: sardine-probe PROBE, which is one of
  file PATH --validity DURATION       PATH: absolute, or volume:NAME/PATH
  tcp [HOST:]PORT
  http URL [--status 200-399[,404]] [--header K=V]...
                                      URL: http://, https://, or :PORT/PATH on localhost
  grpc [HOST:]PORT [--service NAME]
  alive
  all PROBE -- PROBE ...              each of at most 16 must succeed
  any PROBE -- PROBE ...              one must succeed
HOST is an IP address or localhost.
`

// Bounds of what a client may ask.
const (
	maxArguments = 64 << 10 // bytes
	maxProbes    = 16       // of a combination
)

// Probe is a question, checked and ready to be asked.
type Probe interface {
	kind() string
	ask(asked) Answer
}

// Answer says what was found, in one line.
type Answer struct {
	OK   bool
	Text string
}

func good(format string, args ...any) Answer { return Answer{true, fmt.Sprintf(format, args...)} }
func bad(format string, args ...any) Answer  { return Answer{false, fmt.Sprintf(format, args...)} }

// ErrHelp is of arguments that ask for the grammar. They are misuse too: a probe that asks for help must not succeed.
var ErrHelp = errors.New("this is the grammar")

// Parse reads the arguments after the name. Its errors are made for who wrote them.
func Parse(args []string) (Probe, error) {
	size := 0
	for _, a := range args {
		size += len(a) + 1
		if strings.ContainsRune(a, 0) {
			return nil, errors.New("an argument holds a NUL byte")
		}
	}
	if size > maxArguments {
		return nil, fmt.Errorf("the arguments have %d bytes, and at most %d are taken", size, maxArguments)
	}
	if len(args) == 0 {
		return nil, errors.New("which probe?")
	}
	if args[0] == "all" || args[0] == "any" {
		return parseCombination(args[0], args[1:])
	}
	return parseOne(args)
}

// parsers of the probes by their names.
var parsers = map[string]struct {
	flags []string // that it knows
	parse func(operand string, flags map[string][]string) (Probe, error)
}{
	"file":  {[]string{"validity"}, parseFile},
	"tcp":   {nil, parseTCP},
	"http":  {[]string{"status", "header"}, parseHTTP},
	"grpc":  {[]string{"service"}, parseGRPC},
	"alive": {nil, nil},
}

func parseOne(args []string) (Probe, error) {
	name := args[0]
	switch name {
	case "all", "any":
		return nil, fmt.Errorf("%s inside of a combination: they do not nest", name)
	case "help", "--help", "-h", "-help":
		return nil, ErrHelp
	}
	known, ok := parsers[name]
	if !ok {
		return nil, fmt.Errorf("%q is no probe", shorten(name))
	}
	operands, flags, err := split(args[1:], known.flags)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if known.parse == nil {
		if len(operands) > 0 {
			return nil, fmt.Errorf("%s: takes no arguments, and %q is one", name, shorten(operands[0]))
		}
		return alive{}, nil
	}
	if len(operands) != 1 {
		return nil, fmt.Errorf("%s: takes one operand, and there are %d", name, len(operands))
	}
	p, err := known.parse(operands[0], flags)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// split tells flags from operands. A flag is --NAME VALUE or --NAME=VALUE.
func split(args, known []string) (operands []string, flags map[string][]string, err error) {
	flags = map[string][]string{}
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return nil, nil, errors.New("-- stands between the probes of all and any only")
		}
		if !strings.HasPrefix(args[i], "-") {
			operands = append(operands, args[i])
			continue
		}
		name, value, inline := strings.Cut(strings.TrimPrefix(args[i], "--"), "=")
		switch {
		case args[i] == "-h", name == "help":
			return nil, nil, ErrHelp
		case !slices.Contains(known, name):
			return nil, nil, fmt.Errorf("there is no flag %s", shorten(args[i]))
		case !inline && (i+1 == len(args) || args[i+1] == "--"):
			return nil, nil, fmt.Errorf("--%s needs a value", name)
		case !inline:
			i++
			value = args[i]
		}
		flags[name] = append(flags[name], value)
	}
	return operands, flags, nil
}

// once is the value of a flag that may be given once.
func once(flags map[string][]string, name string) (value string, given bool, err error) {
	switch values := flags[name]; len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	}
	return "", false, fmt.Errorf("--%s is given more than once", name)
}

func parseCombination(name string, args []string) (Probe, error) {
	c := combination{every: name == "all"}
	for more := true; more; {
		end := slices.Index(args, "--")
		one := args
		if more = end >= 0; more {
			one, args = args[:end], args[end+1:]
		}
		if len(one) == 0 {
			return nil, fmt.Errorf("%s: a probe is missing", name)
		}
		if len(c.probes) == maxProbes {
			return nil, fmt.Errorf("%s: more than %d probes", name, maxProbes)
		}
		p, err := parseOne(one)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		c.probes = append(c.probes, p)
	}
	return c, nil
}
