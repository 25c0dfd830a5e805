package mail

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Money is an amount in minor units of its currency, as events carry it.
type Money struct {
	Amount int64 `json:"amount"`
	// ISO 4217 code.
	Currency string `json:"currency"`
}

// Times is the amount so many times.
func (m Money) Times(quantity uint32) (Money, error) {
	product := m.Amount * int64(quantity)
	if quantity != 0 && (product/int64(quantity) != m.Amount || m.Amount == math.MinInt64 && quantity > 1) {
		return m, fmt.Errorf("%d times %d is more than an amount can be", m.Amount, quantity)
	}
	return Money{product, m.Currency}, nil
}

// Text is `19.99 EUR`, with as many decimals as the currency has.
func (m Money) Text() (string, error) {
	decimals, known := exponents[m.Currency]
	if !known {
		return "", fmt.Errorf("%q is no ISO 4217 currency", m.Currency)
	}
	digits, isNegative := strings.CutPrefix(strconv.FormatInt(m.Amount, 10), "-")
	digits = strings.Repeat("0", max(0, decimals+1-len(digits))) + digits
	text := digits[:len(digits)-decimals]
	if decimals > 0 {
		text += "." + digits[len(digits)-decimals:]
	}
	if isNegative {
		text = "-" + text
	}
	return text + " " + m.Currency, nil
}

// exponents are the decimals of each currency by ISO 4217. The tables of golang.org/x/text are those of CLDR, which has none for
// some that ISO has two or three for. Currencies without an exponent are not paid with (gold, test codes): whole units.
var exponents = func() map[string]int {
	all := map[string]int{}
	for decimals, codes := range map[int]string{
		0: `BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF
			XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX`,
		2: `AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
			CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG
			HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK
			MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE
			SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER
			ZAR ZMW ZWG ZWL`,
		3: "BHD IQD JOD KWD LYD OMR TND",
		4: "CLF UYW",
	} {
		for _, code := range strings.Fields(codes) {
			all[code] = decimals
		}
	}
	return all
}()
