// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

// In a network of their own nobody else takes the ports on which these tests want nobody to listen.
func TestMain(m *testing.M) { testnode.OwnNetwork(m) }
