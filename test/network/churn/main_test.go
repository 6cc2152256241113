// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"os"
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

func TestMain(m *testing.M) {
	if os.Getenv(keeperVariable) != "" {
		os.Exit(keep())
	}
	if os.Getenv("SARDINE_BIN_DIR") == "" {
		os.Setenv("SARDINE_BIN_DIR", "../../../bin") // this package lies one level deeper than others
	}
	testnode.OwnNetwork(m)
}
