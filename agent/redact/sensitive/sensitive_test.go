package sensitive

import (
	"testing"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/stretchr/testify/require"
)

func TestCheckDigits(t *testing.T) {
	for _, s := range []string{"4111111111111111", "4111-1111-1111-1111", "378282246310005", "6011111111111117", "5555555555554444", "3530111333300000", "30569309025904", "2223003122003222"} {
		require.True(t, isCard([]byte(s)), s)
	}
	for _, s := range []string{"4111111111111112", "1234567812345670", "4111 1111 1111 111", "0000000000000000", "-4111111111111111", "4222222222222", "9999999999999995", "4111.1111.1111.1111"} {
		require.False(t, isCard([]byte(s)), s)
	}
	for _, s := range []string{"GB82WEST12345698765432", "DE89 3704 0044 0532 0130 00", "FR1420041010050500013M02606", "no9386011117947"} {
		require.True(t, isIBAN([]byte(s)), s)
	}
	for _, s := range []string{"GB82WEST12345698765433", "GB82", "8289WEST12345698765432", "GB82WEST1234569876543-"} {
		require.False(t, isIBAN([]byte(s)), s)
	}
}

func TestNamesOfSecretsAreKnownHoweverTheyAreWritten(t *testing.T) {
	for name, want := range map[string]Name{"password": Secret, "PassWord": Secret, "new_password": Secret, "client-secret": Secret, "api_key": Key, "X-API-Key": Key, "accessToken": Token, "access_token": Token,
		"sig": Signature, "username": User, "page": Open, "": Open, "a_very_long_name_that_is_longer_than_any": Open} {
		require.Equal(t, want, NameOf([]byte(name)), name)
	}
}

func TestEmailAddressesInText(t *testing.T) {
	for _, s := range []string{"mail a@b.example now", "<x.y+z@sub.example.co>", "(a_b@example.org)."} {
		require.True(t, hasEmail([]byte(s)), s)
	}
	for _, s := range []string{"@handle", "a@", "a@b", "a @ b.example", "user@host.1", "x@.example", "@@@"} {
		require.False(t, hasEmail([]byte(s)), s)
	}
}

func TestEveryClassHasAWord(t *testing.T) {
	require.Equal(t, "jwt", JWT.String())
	require.Len(t, classNames, int(JWT)+1)
}

func FuzzOf(f *testing.F) {
	f.Add("card_number", "4111 1111 1111 1111")
	f.Add("e-mail", "a@b.example")
	f.Add("x", "https://u:p@h/")
	f.Fuzz(func(t *testing.T, name, value string) {
		field := FieldOf([]byte(name))
		for kind := range event.Kind(event.NumKinds) {
			c := Of(field, kind, []byte(value))
			require.LessOrEqual(t, int(c), int(JWT))
			if value == "" {
				require.Equal(t, None, c)
			}
			require.Equal(t, c, Of(field, kind, []byte(value)))
		}
		OfNumber(field, []byte(value))
	})
}
