FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN useradd --system --no-create-home --uid 10001 parley
WORKDIR /srv/parley

COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt

COPY wsgi.py config.py gunicorn.conf.py ./
COPY migrations migrations
COPY app app

USER parley
EXPOSE 8000
CMD ["gunicorn", "wsgi:app", "-c", "gunicorn.conf.py"]
