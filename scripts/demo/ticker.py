# One of the demo's two targets: prints the time twice a second, for people and in seconds since 1970.
import time

while True:
    now = time.time()
    print(time.strftime("%H:%M:%S", time.localtime(now)), int(now), flush=True)
    time.sleep(0.5)
