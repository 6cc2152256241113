// SPDX-License-Identifier: Apache-2.0

//go:build vm

package guest

import (
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/sardine-run/sardine/internal/doctor"
)

// The unit that make install has put in place has a store, and systemd 252 does not keep it over a
// stop.
func TestDoctorAsksSystemd(t *testing.T) {
	out, err := exec.Command("sardine", "doctor", "--json").Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var report doctor.Report
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]doctor.Verdict{}
	for _, f := range report.Findings {
		verdicts[f.Name] = f.Verdict
		if f.Name == "descriptor store" && f.Detail != "systemd keeps 8192 at most" {
			t.Errorf("%+v", f)
		}
	}
	if verdicts["descriptor store"] != doctor.OK || verdicts["kept over a stop"] != doctor.Info {
		t.Errorf("%v", verdicts)
	}
}
