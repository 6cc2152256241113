// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"strings"
	"testing"
)

func TestDescriptorStore(t *testing.T) {
	for name, test := range map[string]struct {
		unit    unit
		err     error
		verdict Verdict
		detail  string
		stop    Verdict // of "kept over a stop"; empty: there is none
	}{
		"no systemd":   {unit{}, errNoSystemd, OK, "a process that sardined starts keeps them: systemd does not run here", ""},
		"no answer":    {unit{}, errors.New("refused"), Info, "could not tell: refused", ""},
		"no unit":      {unit{}, nil, OK, "there is no unit sardined.service", ""},
		"no store":     {unit{found: true}, nil, Info, "FileDescriptorStoreMax=0", ""},
		"small":        {unit{true, 512, 16384, "yes"}, nil, Info, "512 at most, 4096 recommended", OK},
		"low limit":    {unit{true, 8192, 1024, "yes"}, nil, Info, "512 at most, 4096 recommended", OK},
		"good":         {unit{true, 8192, 16384, "yes"}, nil, OK, "systemd keeps 8192 at most", OK},
		"systemd 252":  {unit{true, 8192, 16384, ""}, nil, OK, "systemd keeps 8192 at most", Info},
		"until a stop": {unit{true, 8192, 16384, "restart"}, nil, OK, "systemd keeps", Info},
	} {
		t.Run(name, func(t *testing.T) {
			findings := storeFindings(test.unit, test.err)
			if f := findings[0]; f.Name != "descriptor store" || f.Verdict != test.verdict || !strings.Contains(f.Detail, test.detail) {
				t.Errorf("%+v", f)
			}
			if len(findings) > 1 != (test.stop != "") || test.stop != "" && findings[1].Verdict != test.stop {
				t.Errorf("%+v", findings[1:])
			}
		})
	}
}
