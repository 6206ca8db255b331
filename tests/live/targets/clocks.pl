# Prints the wall clock as Perl reads it (Time::HiRes and the built-in time), and the monotonic clock.
use strict;
use warnings;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC usleep);

$| = 1;
while (1) {
    my $mono = clock_gettime(CLOCK_MONOTONIC);
    printf "rt %.6f mono %.9f time %d\n", Time::HiRes::time(), $mono, CORE::time();
    usleep(20_000);
}
