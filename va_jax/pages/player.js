/**
 * Plays a video and reports the time of the frame that it shows.
 *
 * Times are in seconds since the first frame. A browser may show the first frame later than its
 * time 0, if the sound begins earlier, so the time of the first frame that appears is measured.
 */
class Player {
  constructor(video, onTime) {
    Object.assign(this, { video, onTime, start: null, shown: 0 });
    const frame = (now, { mediaTime }) => {
      this.start ??= mediaTime;
      this.report(mediaTime - this.start);
      video.requestVideoFrameCallback(frame);
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(frame);
    else for (const kind of ["loadeddata", "timeupdate", "seeked"]) {
      video.addEventListener(kind, () => this.report(video.currentTime - (this.start ??= 0)));
    }
  }

  report(time) {
    this.shown = time;
    this.onTime(time);
  }

  get playing() {
    return !this.video.paused && !this.video.ended;
  }

  seek(time) {
    this.start ??= 0;
    this.video.currentTime = Math.max(0, time + this.start);
    this.report(Math.max(0, time));
  }

  toggle() {
    if (this.playing) this.video.pause(); else this.video.play();
  }
}

/** Has a moment but nothing to play: for images, and for pages without their video. */
class Still {
  constructor(onTime) {
    Object.assign(this, { onTime, shown: 0, playing: false });
  }

  seek(time) {
    this.shown = Math.max(0, time);
    this.onTime(this.shown);
  }

  toggle() {}
}
