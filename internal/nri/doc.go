// SPDX-License-Identifier: Apache-2.0

// Package nri shows pods and containers to NRI plugins and applies what they adjust.
package nri
