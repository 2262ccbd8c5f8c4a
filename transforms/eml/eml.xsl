<?xml version="1.0" encoding="UTF-8"?>
<!--
  Canonical XML to mails (RFC 5322): one for each room and interval, or an Exchange journal report that holds it.
  The result is a packaging document (docs/packaging.md). README.md says what is carried.
-->
<xsl:stylesheet version="1.0"
                xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:c="urn:chancery:1"
                xmlns:p="urn:chancery:package:1"
                exclude-result-prefixes="c">

  <xsl:import href="mail.xsl"/>
  <xsl:output method="xml" encoding="UTF-8" indent="no" media-type="application/vnd.chancery.package+xml"/>

  <!-- What goes before the room's name in the subject. -->
  <xsl:param name="subject" select="'Chat: '"/>
  <!-- yes: each mail is wrapped into a journal report, as Exchange sends them. -->
  <xsl:param name="journal" select="'no'"/>
  <!-- Who sends the journal reports. -->
  <xsl:param name="journal_from" select="concat('journal@', $domain)"/>

  <xsl:template match="/">
    <xsl:call-template name="check-mail-parameters"/>
    <xsl:if test="$journal != 'yes' and $journal != 'no'">
      <xsl:message terminate="yes">parameter journal: expected yes or no</xsl:message>
    </xsl:if>
    <p:package>
      <xsl:for-each select="Conversations/Conversation">
        <xsl:text>&#10;</xsl:text>
        <p:file extension="eml">
          <xsl:choose>
            <xsl:when test="$journal = 'yes'"><xsl:apply-templates select="." mode="journal"/></xsl:when>
            <xsl:otherwise><xsl:apply-templates select="." mode="mail"/></xsl:otherwise>
          </xsl:choose>
        </p:file>
      </xsl:for-each>
    </p:package>
  </xsl:template>

  <xsl:template match="Conversation" mode="subject">
    <xsl:value-of select="$subject"/>
    <xsl:apply-templates select="Channel" mode="name"/>
    <xsl:if test="@c:parts &gt; 1"><xsl:value-of select="concat(' (part ', @c:part, ' of ', @c:parts, ')')"/></xsl:if>
  </xsl:template>

  <xsl:template match="Conversation" mode="mail">
    <xsl:variable name="title"><xsl:apply-templates select="." mode="subject"/></xsl:variable>
    <xsl:variable name="key"><xsl:apply-templates select="." mode="key"/></xsl:variable>
    <p:mail domain="{$domain}">
      <p:addresses name="From"><xsl:apply-templates select="." mode="initiator"/></p:addresses>
      <p:addresses name="To"><xsl:apply-templates select="." mode="everybody"/></p:addresses>
      <p:header name="Subject"><xsl:value-of select="$title"/></p:header>
      <p:date name="Date" at="{EndTimeUTC/@string}"/>
      <p:ids name="Message-ID"><p:id key="{$key}"/></p:ids>
      <xsl:apply-templates select="." mode="thread"/>
      <p:header name="Auto-Submitted">auto-generated</p:header>
      <p:header name="X-Chancery-Room"><xsl:value-of select="Channel/@uri"/></p:header>
      <xsl:if test="Channel/@c:kind"><p:header name="X-Chancery-Room-Kind"><xsl:value-of select="Channel/@c:kind"/></p:header></xsl:if>
      <xsl:if test="@c:batch">
        <p:header name="X-Chancery-Batch"><xsl:value-of select="concat(@c:adapter, ' ', @c:batch)"/></p:header>
        <p:header name="X-Chancery-Interval"><xsl:value-of select="concat(@c:intervalStart, '/', @c:intervalEnd)"/></p:header>
        <p:header name="X-Chancery-Part"><xsl:value-of select="concat(@c:part, '/', @c:parts)"/></p:header>
      </xsl:if>
      <p:header name="X-Chancery-Events"><xsl:value-of select="count(Messages/Message)"/></p:header>
      <xsl:apply-templates select="." mode="body"><xsl:with-param name="title" select="$title"/></xsl:apply-templates>
    </p:mail>
  </xsl:template>

  <!-- One field per line, addresses only: the grammar has no place for names. The members stand as recipients that the
       room was expanded to. Addresses are made by the packager as they are in the mail inside. -->
  <xsl:template match="Conversation" mode="journal">
    <xsl:variable name="title"><xsl:apply-templates select="." mode="subject"/></xsl:variable>
    <xsl:variable name="key"><xsl:apply-templates select="." mode="key"/></xsl:variable>
    <p:mail domain="{$domain}">
      <p:addresses name="From"><p:address mail="{$journal_from}"/></p:addresses>
      <p:addresses name="To"><p:address mail="{$journal_from}"/></p:addresses>
      <p:header name="Subject"><xsl:value-of select="$title"/></p:header>
      <p:date name="Date" at="{EndTimeUTC/@string}"/>
      <p:ids name="Message-ID"><p:id key="journal|{$key}"/></p:ids>
      <p:header name="X-MS-Journal-Report"/>
      <p:multipart subtype="mixed">
        <p:envelope subject="{$title}">
          <p:id key="{$key}"/>
          <p:sender><xsl:apply-templates select="." mode="initiator"/></p:sender>
          <p:expanded><xsl:apply-templates select="." mode="room-address"/></p:expanded>
          <xsl:apply-templates select="." mode="everybody"/>
        </p:envelope>
        <xsl:apply-templates select="." mode="mail"/>
      </p:multipart>
    </p:mail>
  </xsl:template>
</xsl:stylesheet>
