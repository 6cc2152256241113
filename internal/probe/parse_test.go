// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for args, kind := range map[string]string{
		"file /tmp/ok --validity 30s":            "file",
		"file --validity=1m30s /tmp/ok":          "file",
		"file volume:data/a/../b --validity 1ns": "file",
		"tcp 80":                                 "tcp",
		"tcp localhost:80":                       "tcp",
		"tcp [::1]:65535":                        "tcp",
		"http :8080/x":                           "http",
		"http :8080":                             "http",
		"http https://127.0.0.1/a?b=c --status 200,300-302":     "http",
		"http --header A=b --header A=c= http://[::1]:80/":      "http",
		"http http://LOCALHOST/":                                "http",
		"grpc 9000 --service a.B":                               "grpc",
		"alive":                                                 "alive",
		"all alive -- tcp 80":                                   "all",
		"any file /a --validity 1s":                             "any",
		"all file /a --validity 1s -- http :1 --status=200-299": "all",
	} {
		p, err := Parse(strings.Fields(args))
		if err != nil || p.kind() != kind {
			t.Errorf("%q: %v, %v", args, p, err)
		}
	}
}

func TestParseMisuse(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for args, want := range map[string]string{
		"":                               "which probe",
		"bogus":                          `"bogus" is no probe`,
		"FILE /a":                        "is no probe",
		"file":                           "one operand, and there are 0",
		"file /a":                        "--validity is missing",
		"file /a /b --validity 1s":       "there are 2",
		"file a --validity 1s":           "not absolute",
		"file volume:a --validity 1s":    "want volume:NAME/PATH",
		"file volume:/a --validity 1s":   "want volume:NAME/PATH",
		"file volume:a/ --validity 1s":   "want volume:NAME/PATH",
		"file volume:../a --validity 1s": "want volume:NAME/PATH",
		"file volume:" + long + "/a --validity 1s": "too long",
		"file /" + long + " --validity 1s":         "at most 4095 bytes",
		"file /a --validity":                       "--validity needs a value",
		"file /a --validity 30":                    "want a duration",
		"file /a --validity 0s":                    "more than nothing",
		"file /a --validity -1s":                   "more than nothing",
		"file /a --validity 9999999999999h":        "want a duration",
		"file /a --validity 1s --validity 2s":      "more than once",
		"file /a --bogus 1":                        "no flag --bogus",
		"file /a -v 1":                             "no flag -v",
		"file /a -- tcp 1":                         "-- stands between",
		"tcp":                                      "one operand",
		"tcp 0":                                    "from 1 to 65535",
		"tcp 65536":                                "from 1 to 65535",
		"tcp 99999999999999999999":                 "from 1 to 65535",
		"tcp +80":                                  "from 1 to 65535",
		"tcp 0x50":                                 "from 1 to 65535",
		"tcp ::1:80":                               "[IPV6]:PORT",
		"tcp example.com:80":                       "names are not resolved",
		"tcp [fe80::1%eth0]:80":                    "zone",
		"tcp 80 --status 200":                      "no flag",
		"http ftp://localhost/":                    "want http://",
		"http /healthz":                            "want http://",
		"http http:///x":                           "host is missing",
		"http http://example.com/":                 "names are not resolved",
		"http http://127.0.0.1:0/":                 "from 1 to 65535",
		"http http://127.0.0.1:99999/":             "from 1 to 65535",
		"http http://u:p@127.0.0.1/":               "--header Authorization",
		"http http://127.0.0.1/%zz":                "no URL",
		"http :80 --status 2xx":                    "100 to 599",
		"http :80 --status 399-200":                "100 to 599",
		"http :80 --status 99":                     "100 to 599",
		"http :80 --status 600":                    "100 to 599",
		"http :80 --status +20":                    "100 to 599",
		"http :80 --status ,":                      "100 to 599",
		"http :80 --status " + strings.Repeat("200,", 20) + "200": "at most 16",
		"http :80 --header A":                            "NAME=VALUE",
		"http :80 --header =b":                           "no name of a header",
		"http :80 --header a(b)=c":                       "no name of a header",
		"http :80 --header Host=a/b":                     "is no host",
		"http :80" + strings.Repeat(" --header A=b", 33): "33 times",
		"grpc x":                          "from 1 to 65535",
		"grpc 80 --service a --service b": "more than once",
		"alive now":                       "takes no arguments",
		"all":                             "a probe is missing",
		"all --":                          "a probe is missing",
		"all alive --":                    "a probe is missing",
		"all -- alive":                    "a probe is missing",
		"any all alive":                   "do not nest",
		"all alive" + strings.Repeat(" -- alive", 16): "more than 16",
		"all tcp --":  "one operand",
		"help":        "this is the grammar",
		"file --help": "this is the grammar",
		"tcp -h":      "this is the grammar",
	} {
		if p, err := Parse(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", shorten(args), p, err, want)
		}
	}
	for _, args := range [][]string{
		{"file", "/a\x00b", "--validity", "1s"},
		{"http", ":80", "--header", "A=b\r\nC: d"},
		{"http", ":80", "--header", "A\n=b"},
		{"http", ":80", "--header", "Host=a\r\nb"},
		{"http", ":80/a\r\nb"},
		{"http", "http://127.0.0.1 \r\n/"},
		{"grpc", "80", "--service", "\xff"},
		{"tcp", ""},
		{""},
		{"file", "/" + strings.Repeat("x/", 40000), "--validity", "1s"},
	} {
		p, err := Parse(args)
		if err == nil {
			t.Errorf("%q: %v", args, p)
			continue
		}
		if text := string(misuse(err).Stderr); strings.ContainsAny(strings.TrimSuffix(text, Usage), "\r\x00") || strings.Count(text, "\n") != strings.Count(Usage, "\n")+1 {
			t.Errorf("%q is told as %q", args, text)
		}
	}
}

// FuzzParse: what is taken can be asked without another check.
func FuzzParse(f *testing.F) {
	for _, args := range []string{
		"file /tmp/ok --validity 30s", "file volume:a/b --validity=1s", "tcp [::1]:80", "http :80/x --status 200-299,404 --header A=b",
		"grpc localhost:1 --service s", "alive", "all alive -- tcp 1", "any -- ", "http https://127.0.0.1:1/ --header Host=a", "--help",
	} {
		f.Add(strings.ReplaceAll(args, " ", "\x1f"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\x1f")
		p, err := Parse(args)
		if err != nil {
			if done := misuse(err); done.ExitCode != Misuse || len(done.Stderr) > maxText+len(Usage)+16 {
				t.Errorf("%q: exit code %d and %d bytes", args, done.ExitCode, len(done.Stderr))
			}
			return
		}
		check(t, p)
	})
}

func check(t *testing.T, p Probe) {
	t.Helper()
	var endpoints []netip.AddrPort
	switch p := p.(type) {
	case file:
		if p.validity <= 0 || p.path == "" || len(p.path) > 4095 || strings.ContainsRune(p.path+p.volume, 0) ||
			strings.Contains(p.volume, "/") || p.volume == "" && p.path[0] != '/' || p.volume != "" && p.path[0] == '/' {
			t.Errorf("%#v", p)
		}
		return
	case tcp:
		endpoints = p.addresses
	case rpc:
		endpoints = p.addresses
	case web:
		var err error
		if endpoints, err = addressesOf(p.url); err != nil || len(p.statuses) == 0 || p.url.User != nil {
			t.Errorf("%#v: %v", p, err)
		}
	case alive:
		return
	case combination:
		if len(p.probes) == 0 || len(p.probes) > maxProbes {
			t.Errorf("%d probes", len(p.probes))
		}
		for _, one := range p.probes {
			if _, nested := one.(combination); nested {
				t.Error("nested")
			}
			check(t, one)
		}
		return
	}
	if len(endpoints) == 0 {
		t.Errorf("%#v has no address", p)
	}
	for _, e := range endpoints {
		if !e.IsValid() || e.Port() == 0 || e.Addr().Zone() != "" {
			t.Errorf("%#v has the address %v", p, e)
		}
	}
}
